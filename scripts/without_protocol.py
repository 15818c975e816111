"""Prove that a protocol is a folder and its rows: take one away from a copy of this tree, look at the rest.

    python scripts/without_protocol.py stomp          remove, check, run the tests that are quick
    python scripts/without_protocol.py mqtt --quick   remove, import all, start, send a message over AMQP
    python scripts/without_protocol.py kafka --keep   leave the copy where it is, and say where

What goes is in `PARTS` and `ROWS`, and nothing else of the source may have to change. Tests go that use the
protocol (they name its options or its folder), and those that import what went; so do its pages of the manual
and links to them, and in `docs/compatibility.md` what no test shows any more is called planned. Then follow
lint, types, import layers, generated docs and the rest of the tests.
"""

from __future__ import annotations

import argparse
import ast
import functools
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LEFT_BEHIND = shutil.ignore_patterns(
    ".git",
    ".venv",
    "node_modules",
    "data",
    ".*_cache",
    ".hypothesis",
    "build",
    "dist",
    "*.egg-info",
)
"""What a copy has no use for."""

PARTS: dict[str, tuple[str, ...]] = {
    "kafka": (
        "src/pillarbox/protocols/kafka",
        "src/pillarbox/ops/kafka",
        "docs/kafka.md",
        "examples/kafka",
        "scripts/kafka_codec",
        "tests/protocols/kafka",
        "tests/compare_kafka",
    ),
    "mqtt": ("src/pillarbox/protocols/mqtt", "docs/mqtt.md", "examples/mqtt", "tests/protocols/mqtt"),
    "stomp": ("src/pillarbox/protocols/stomp", "docs/stomp.md", "examples/activemq", "tests/protocols/stomp"),
}
"""Folders and files of a protocol alone."""

PROTOCOLS = tuple(protocol for protocol, parts in PARTS.items() if (ROOT / parts[0]).exists())
"""Those that are there."""

ROWS: tuple[tuple[str, str], ...] = (
    ("src/pillarbox/protocols/registry.py", r"from pillarbox\.protocols\.{p} import options as {p}\n"),
    ("src/pillarbox/protocols/registry.py", r'    Protocol\(\n        "{p}",\n(?:        .*\n)*    \),\n'),
    ("src/pillarbox/protocols/options.py", r"from pillarbox\.protocols\.{p} import options as {p}\n"),
    ("src/pillarbox/protocols/options.py", r"    {p}\.\w+Options,\n"),
    ("src/pillarbox/protocols/options.py", r"    Table\({p}\..*\),\n"),
    ("pyproject.toml", r'    "pillarbox\.protocols\.{p}\..*",\n'),
    ("Makefile", r"\t@\$\(BIN\)/python -m (?:bench\.{p}_|tests\.kill\.{p}|tests\.protocols\.{p}\.).*\n"),
    ("tests/compare_messaging/peers.py", r'    "{p}[^"]*": \("PILLARBOX_.*\n'),
    ("tests/test_config.py", r'    "{p}_\w+": .*\n'),
)
"""Rows of tables: files, and regular expressions in which `{p}` is the protocol."""

OURS = ("tests", "bench", "scripts")
"""Where tests are, and tools that they use."""

QUICK_TESTS = (
    "tests/broker",
    "tests/compare",
    "tests/compare_messaging",
    "tests/management",
    "tests/net",
    "tests/ops",
    "tests/prometheus",
    "tests/protocols",
    *(
        f"tests/test_{name}.py"
        for name in ("cli", "config", "endpoints", "layers", "embedded", "compatibility")
    ),
    *(f"tests/test_{name}.py" for name in ("docs", "examples", "rabbitmq_conf")),
)
"""Run by default; `--all` runs what there is."""

START_TIMEOUT_S = 30


# --- taking away ------------------------------------------------------------------------------------------


def remove(tree: Path, protocol: str) -> list[Path]:
    """Take a protocol out of a tree; return the tests that went with it. Raises ValueError."""
    for part in PARTS[protocol]:
        path = tree / part
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    for name, pattern in ROWS:
        path = tree / name
        if not path.exists() and not name.startswith("src/"):
            continue  # It went with another protocol.
        row = pattern.replace("{p}", protocol)
        text, count = re.subn(row, "", path.read_text())
        path.write_text(text)
        if not count and name.startswith("src/"):
            raise ValueError(f"{name} has no row {row}")
    gone = list(_remove_tests(tree, protocol))
    for page in (tree / "README.md", tree / "CHANGELOG.md", *(tree / "docs").glob("*.md")):
        page.write_text(_without_links(_without_differences(page.read_text(), tree), protocol))
    return gone


def _remove_tests(tree: Path, protocol: str) -> Iterator[Path]:
    """Remove the tests that use a protocol, and those that import what was removed."""
    uses = re.compile(
        rf"(?<!\.)\b{protocol}_(?:\w*port|address|bootstrap|dialect|advertised|listeners|\w*_user|partitions|\w*_s)\b"
        rf"|--{protocol}-|PILLARBOX_{protocol.upper()}|\bprotocols[./]{protocol}\b|ops\.{protocol}\b"
        rf'|PROTOCOL = "{protocol}'
    )
    texts = {path: path.read_text() for folder in OURS for path in (tree / folder).rglob("*.py")}
    del texts[tree / "scripts" / Path(__file__).name]
    gone = {path for path, text in texts.items() if uses.search(text)}
    parts = {part.replace("/", ".") for part in PARTS[protocol] if not part.startswith("src/")}
    count = -1
    while len(gone) != count:
        count = len(gone)
        names = {_module(path, tree) for path in gone} | parts
        last = re.compile("|".join(re.escape(name.rpartition(".")[2]) for name in names))
        left = (path for path, text in texts.items() if path not in gone and last.search(text))
        gone |= {path for path in left if _imports(path, tree) & names}
    for path in gone:
        path.unlink()
        recording = path.parent.parent / "recordings" / f"{path.stem}.json"
        if path.parent.name == "scenarios" and recording.exists():
            recording.unlink()
    yield from sorted(gone)


def _module(path: Path, tree: Path) -> str:
    return ".".join(path.relative_to(tree).with_suffix("").parts).removesuffix(".__init__")


@functools.cache
def _imports(path: Path, tree: Path) -> set[str]:
    """The modules that a file imports, the packages that they are in, and what it takes out of them."""
    found: set[str] = set()
    package = _module(path.parent / "__init__.py", tree)
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package.split(".")[: -node.level + 1 or None]) if node.level else ""
            name = ".".join(filter(None, (base, node.module)))
            found |= {name, *(f"{name}.{alias.name}" for alias in node.names)}
    parents = {name[:at] for name in found for at, char in enumerate(name) if char == "."}
    return found | parents


def _without_differences(text: str, tree: Path) -> str:
    """Sections that list the differences in a file which has gone, go."""
    for file in re.findall(r"<!-- begin: [^\n]* (tests/\w+/differences\.py) -->", text):
        if not (tree / file).exists():
            section = rf"### (?:(?!\n###? ).)*?{re.escape(file)} -->\n.*?<!-- end -->\n*"
            text = re.sub(section, "", text, flags=re.DOTALL)
    return text


def _without_links(text: str, protocol: str) -> str:
    """Links to the protocol's page become their words; its line of the index goes, and so do its programs."""
    text = re.sub(rf"```python\n(?:(?!```).*\n)*?(?:from|import) {protocol}\b(?:(?!```).*\n)*```\n", "", text)
    text = re.sub(rf"^- \[[^]]*\]\({protocol}\.md\).*\n", "", text, flags=re.MULTILINE)
    return re.sub(rf"\[([^]]*)\]\((?:docs/)?{protocol}\.md[^)]*\)", r"\1", text)


# --- looking at the rest ----------------------------------------------------------------------------------


class Rest:
    """A tree without a protocol."""

    def __init__(self, tree: Path, protocol: str) -> None:
        self.tree = tree
        self.protocol = protocol
        self.failed: list[str] = []
        path = os.pathsep.join((str(tree / "src"), str(tree)))
        kept = {name: text for name, text in os.environ.items() if not name.startswith("PILLARBOX_")}
        self.env = {**kept, "PYTHONPATH": path}

    def run(self, what: str, *command: str, timeout_s: float = 3600) -> None:
        """Run a command of Python in the tree and say how it went."""
        started = time.monotonic()
        done = subprocess.run(
            [sys.executable, *command],
            cwd=self.tree,
            env=self.env,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            stdin=subprocess.DEVNULL,
            check=False,
        )
        good = done.returncode == 0
        took = f"{time.monotonic() - started:.1f} s"
        print(
            f"without {self.protocol}: {what}: {'as it should be' if good else 'FAILED'}, {took}", flush=True
        )
        if not good:
            self.failed.append(what)
            print(f"{done.stdout[-6000:]}{done.stderr[-3000:]}", flush=True)

    def quick(self) -> None:
        """Everything can be imported, and a broker starts and does its work."""
        self.run("every module is imported", "-c", IMPORT_ALL)
        self.run("a message goes through a broker", "-c", ONE_ROUND, self.protocol, timeout_s=START_TIMEOUT_S)

    def checks(self) -> None:
        """What `make check` does. The generated docs are written first: they change with the rows."""
        (self.tree / "docs" / "compatibility.md").write_text(self._states())
        self.run("generated docs", "scripts/docs.py")
        self.run("lint", "-m", "ruff", "check", "--quiet", "src", "tests", "bench", "scripts")
        self.run("types", "-m", "mypy")
        self.run(
            "import layers", "-c", "from importlinter.cli import lint_imports_command as c; c()", "--no-logo"
        )

    def tests(self, everything: bool) -> None:
        there = ["tests"] if everything else [each for each in QUICK_TESTS if (self.tree / each).exists()]
        self.run("the rest of the tests", "-m", "pytest", "-q", "-n", "2", "-p", "no:cacheprovider", *there)

    def _states(self) -> str:
        """The page of rows: what no test shows any more is planned."""
        done = subprocess.run(
            [sys.executable, "-c", STATES],
            cwd=self.tree,
            env=self.env,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            self.failed.append("tests are collected")
            print(done.stderr[-3000:])
            return (self.tree / "docs" / "compatibility.md").read_text()
        return done.stdout


IMPORT_ALL = """
import importlib, pkgutil, pillarbox
for each in pkgutil.walk_packages(pillarbox.__path__, "pillarbox."):
    if not each.name.endswith("__main__"):
        importlib.import_module(each.name)
"""

ONE_ROUND = """
import sys
import urllib.request
import pika
from pillarbox.config import OPTIONS, Config
from pillarbox.embedded import Broker
assert not [each.field for each in OPTIONS if each.field.startswith(sys.argv[1] + "_")]
others = {each.field: 0 for each in OPTIONS if each.field in ("mqtt_port", "stomp_port", "kafka_port")}
with Broker(management_port=0, **others) as broker:
    api = urllib.request.urlopen(f"{broker.management_url}/api/openapi.json").read().decode()
    assert f'"/api/{sys.argv[1]}/' not in api and '"/api/queues' in api
    connection = pika.BlockingConnection(pika.URLParameters(broker.amqp_url))
    channel = connection.channel()
    channel.confirm_delivery()
    channel.queue_declare("q", durable=True)
    channel.basic_publish("", "q", b"hello", pika.BasicProperties(delivery_mode=2))
    assert channel.basic_get("q", auto_ack=True)[2] == b"hello"
    connection.close()
    assert sorted(broker.server.spoken) == sorted(["amqp", *(each.removesuffix("_port") for each in others)])
"""

STATES = """
import sys
from scripts.docs import COMPATIBILITY, ROW, Row, collected_rows
tests = collected_rows()
for line in COMPATIBILITY.read_text().splitlines():
    if match := ROW.fullmatch(line):
        row = Row(**match.groupdict())
        shown = row.id in tests or row.state.startswith("planned")
        line = str(row if shown else row._replace(state="planned (later)", tests=""))
    print(line)
"""


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/without_protocol.py", description=__doc__)
    parser.add_argument("protocol", choices=PROTOCOLS)
    parser.add_argument("--quick", action="store_true", help="imports, a start and one message, no more")
    parser.add_argument("--all", action="store_true", help="all tests that are left")
    parser.add_argument("--keep", action="store_true", help="leave the copy there")
    arguments = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix=f"without-{arguments.protocol}-"))
    try:
        tree = folder / ROOT.name
        shutil.copytree(ROOT, tree, ignore=LEFT_BEHIND)
        for clients in ROOT.glob("tests/**/node_modules"):
            if "node_modules" in clients.parent.parts:
                continue
            (tree / clients.relative_to(ROOT)).symlink_to(clients.resolve())
        gone = remove(tree, arguments.protocol)
        print(f"without {arguments.protocol}: {len(gone)} files of tests and tools went with it", flush=True)
        rest = Rest(tree, arguments.protocol)
        rest.quick()
        if not arguments.quick:
            rest.checks()
            rest.tests(arguments.all)
        if rest.failed:
            print(f"without {arguments.protocol}: failed: {', '.join(rest.failed)}")
        return 1 if rest.failed else 0
    finally:
        if arguments.keep:
            print(f"the copy is {folder}")
        else:
            shutil.rmtree(folder)


if __name__ == "__main__":
    sys.exit(main())
