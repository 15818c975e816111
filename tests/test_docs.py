"""The manual runs: every code block of README, CONTRIBUTING and docs/, page by page, from top to bottom.

A page is one scenario in a folder of its own. A `sh` block that is one `pillarbox serve` starts a broker that
stays until the page ends, or until the invisible line `<!-- the broker is stopped here -->`; it gets free
ports, which take the place of 5672 and 15672 in the blocks that follow. A `python` block runs as a program,
or under pytest if it defines tests; a `toml` block is loaded as a configuration; a `text` block is output to
look at. A block that cannot run here is preceded by an invisible line `<!-- not run: REASON -->`; those are
counted.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import NamedTuple

import pytest

from bench.peers import free_ports
from pillarbox.config import OPTIONS, Option
from pillarbox.config_sources import load
from pillarbox.ops.cli import COMMANDS
from pillarbox.rabbitmq_conf import KEYS
from scripts.docs import COMMAND_LINE, CONFIGURATION, command_line_page, configuration_page

ROOT = Path(__file__).resolve().parent.parent
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "CHANGELOG.md",
    *sorted((ROOT / "docs").glob("*.md")),
]
NOT_RUN_MAX = 10
"""Blocks that are excused from running. A new one is a decision: change this number with it."""

TIMEOUT_S = 60
BLOCK = re.compile(
    r"(?:^<!-- (?P<note>[^\n]*) -->\n)?^```(?P<language>[^\n]*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL
)
STOPPED = "the broker is stopped here"
NOT_RUN = "not run: "
SERVE = re.compile(r"pillarbox serve[^\n]*\n")
NAMED = re.compile(r"`([a-z0-9_]+)`")
LINK = re.compile(r"\]\((?!https?:)(?P<path>[^)#]+)")


class Block(NamedTuple):
    page: Path
    line: int
    language: str
    text: str
    note: str

    def __repr__(self) -> str:
        return f"<{self.language} block at {self.page.relative_to(ROOT)}:{self.line}>"


def blocks(page: Path) -> Iterator[Block]:
    text = page.read_text()
    for match in BLOCK.finditer(text):
        line = text.count("\n", 0, match.start()) + 1
        yield Block(page, line, match["language"].strip(), match["text"], match["note"] or "")


class Reader:
    """Somebody who tries out one page in an empty folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = 0
        self.broker: subprocess.Popen[str] | None = None
        kept = {
            name: text
            for name, text in os.environ.items()
            if not name.startswith(("PILLARBOX_", "RABBITMQ_"))
        }
        scripts = sysconfig.get_path("scripts")
        self.env = {**kept, "HOME": str(folder), "PATH": f"{scripts}:{os.environ['PATH']}"}
        (self.management_port,) = free_ports(1)
        self.env["PILLARBOX_MANAGEMENT_PORT"] = str(self.management_port)
        self.env["PILLARBOX_PROMETHEUS_PORT"] = "0"

    def run(self, block: Block) -> None:
        if block.note == STOPPED:
            self.stop()
        elif block.note.startswith(NOT_RUN):
            return
        runners = {"sh": self.shell, "python": self.python, "toml": self.toml, "text": lambda block: None}
        assert block.language in runners, f"{block!r} is in a language that nothing here runs"
        runners[block.language](block)

    def shell(self, block: Block) -> None:
        if SERVE.fullmatch(block.text):
            self.start(block)
        else:
            self.command(block, ["bash", "-euo", "pipefail", "-c", self.local(block)])

    def python(self, block: Block) -> None:
        program = self.folder / f"test_line_{block.line}.py"
        program.write_text(self.local(block))
        is_test = "\ndef test_" in block.text or "\nasync def test_" in block.text
        self.command(block, [sys.executable, *(["-m", "pytest"] if is_test else []), str(program)])

    def toml(self, block: Block) -> None:
        file = self.folder / "pillarbox.toml"
        file.write_text(block.text)
        load(file=str(file))

    def local(self, block: Block) -> str:
        if not self.port:
            return block.text
        return block.text.replace("15672", str(self.management_port)).replace("5672", str(self.port))

    def command(self, block: Block, command: list[str]) -> None:
        done = subprocess.run(
            command,
            cwd=self.folder,
            env=self.env,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )
        assert done.returncode == 0, f"{block!r} failed\n{done.stdout}{done.stderr}"

    def start(self, block: Block) -> None:
        self.stop()
        (self.port,) = free_ports(1)
        self.env["PILLARBOX_PORT"] = str(self.port)
        self.broker = subprocess.Popen(
            ["bash", "-c", f"exec {block.text}"],
            cwd=self.folder,
            env=self.env,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.broker.stdout is not None
        line = self.broker.stdout.readline()
        assert f":{self.port}" in line, f"{block!r} did not start a broker: {line!r}"

    def stop(self) -> None:
        if self.broker is not None:
            self.broker.terminate()
            self.broker.communicate(timeout=TIMEOUT_S)
            assert self.broker.returncode == 0
            self.broker = None


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Reader]:
    somebody = Reader(tmp_path)
    yield somebody
    somebody.stop()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_code_blocks_run(page: Path, reader: Reader) -> None:
    for block in blocks(page):
        reader.run(block)


def test_blocks_that_are_not_run_have_a_reason_and_are_counted() -> None:
    excused = [block for page in PAGES for block in blocks(page) if block.note.startswith(NOT_RUN)]
    for block in excused:
        print(f"{block!r} {block.note}")
    assert all(len(block.note) > len(NOT_RUN) + 8 for block in excused)
    assert len(excused) <= NOT_RUN_MAX


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_fence_belongs_to_a_block_and_every_note_to_a_rule(page: Path) -> None:
    """A fence that the pattern misses, or a misspelt note, would silently not run."""
    found = list(blocks(page))
    assert sum(line.startswith("```") for line in page.read_text().splitlines()) == 2 * len(found)
    for block in found:
        assert block.note in ("", STOPPED) or block.note.startswith(NOT_RUN), repr(block)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    missing = [
        match["path"]
        for match in LINK.finditer(page.read_text())
        if not (page.parent / match["path"]).exists()
    ]
    assert missing == []


def test_every_page_of_the_manual_is_in_its_index() -> None:
    index = (ROOT / "docs" / "index.md").read_text()
    pages = [page.name for page in (ROOT / "docs").glob("*.md") if page.name != "index.md"]
    assert [page for page in pages if f"({page})" not in index] == []


def test_option_manual_is_current() -> None:
    """`make docs` writes it."""
    assert CONFIGURATION.read_text() == configuration_page()


@pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option.name)
def test_manual_names_every_option(option: Option) -> None:
    page = CONFIGURATION.read_text()
    for name in (option.name, option.flag, *option.env):
        assert f"`{name}`" in page


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_option_in_a_table_of_the_manual_is_one(page: Path) -> None:
    """A name that is shown where options are explained can be written into a file as it stands."""
    known = {option.name for option in OPTIONS}
    tables = re.findall(r"^\| option \|.*?\n\n", page.read_text(), re.MULTILINE | re.DOTALL)
    cells = [row.split("|")[1] for table in tables for row in table.splitlines()[2:] if row]
    named = [name for cell in cells for name in NAMED.findall(cell)]
    assert [name for name in named if name not in known] == []


def test_manual_names_every_key_of_a_rabbitmq_conf() -> None:
    """By its whole name, by its end behind one with the same beginning, or by its beginning and a star."""
    page = (ROOT / "docs" / "operations.md").read_text()
    section = page.partition("## `rabbitmq.conf`")[2].partition("\n## ")[0]
    words = [*re.findall(r"`([a-z_.*0-9]+)", section)]
    ends = [word for word in words if word.startswith(".")]
    missing = [
        key
        for key in KEYS
        if not any(fnmatchcase(key, word) for word in words) and not any(key.endswith(end) for end in ends)
    ]
    assert missing == []


@pytest.mark.parametrize("command", COMMANDS)
def test_manual_explains_every_command(command: str) -> None:
    pages = [ROOT / "docs" / "operations.md", COMMAND_LINE]
    assert any(f"# `pillarbox {command}`\n" in page.read_text() for page in pages)


def test_command_manual_is_current() -> None:
    """`make docs` writes it."""
    page = COMMAND_LINE.read_text()
    assert page == command_line_page(page)


@pytest.mark.parametrize("target", re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
def test_make_help_names_every_target(target: str) -> None:
    if target not in ("help", "setup", "peers", "lint", "types", "layers", "current"):
        assert f"make {target} " in (ROOT / "Makefile").read_text()
