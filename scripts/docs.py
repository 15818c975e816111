"""Write the generated parts of docs/: the option manual, the commands' tables, two of the compatibility page.

    python scripts/docs.py            write what is out of date
    python scripts/docs.py --check    change nothing; name what is out of date and exit 1

`make docs` and `make check` run these. The manual comes from the table in `pillarbox.config`, the commands
from `pillarbox.ops.cli.operations`; the column of
tests from the `@pytest.mark.row` marks that pytest collects; the measured differences from
`tests/*/differences.py`, each of which has them `in_words`. Tests import the page functions from here.
"""

from __future__ import annotations

import importlib
import json
import re
import subprocess
import sys
import tempfile
import textwrap
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

from pillarbox.config import OPTIONS, Option
from pillarbox.config_sources import CONFIG_FILE_ENV
from pillarbox.config_values import FLAG
from pillarbox.ops.cli import SECTIONS
from pillarbox.ops.cli.operation import Operation
from pillarbox.ops.cli.operations import OPERATIONS

ROOT = Path(__file__).resolve().parent.parent
CONFIGURATION = ROOT / "docs" / "configuration.md"
COMPATIBILITY = ROOT / "docs" / "compatibility.md"
COMMAND_LINE = ROOT / "docs" / "command-line.md"

ROW = re.compile(
    r"\| (?P<id>[A-Z]?\d+) \| (?P<priority>[MSR]) \| (?P<what>.+?) \| (?P<state>[^|]+?) \| (?P<tests>.*?) ?\|"
)
COMMANDS = re.compile(r"(<!-- begin: [^\n]*/ops/cli/operations\.py -->\n).*?(<!-- end -->)", re.DOTALL)
DIFFERENCES = re.compile(
    r"(<!-- begin: [^\n]* (?P<file>tests/\w+/differences\.py) -->\n).*?(<!-- end -->)", re.DOTALL
)
NAMED_TESTS_MAX = 3
"""A line that more tests prove names their files and how many there are in each."""
WIDTH = 120
"""Columns of the text that is written here."""

INTRODUCTION = f"""\
<!-- Written by `make docs` from the table in src/pillarbox/config.py: change that table, not this page. -->

# Configuration

Every option has one name with three spellings: `frame_max` in a TOML file, `PILLARBOX_FRAME_MAX` in the
environment, `--frame-max` on the command line. Where an option is given in several places, the command
line wins over the environment, and the environment over the file; the file is named with `--config` or
`{CONFIG_FILE_ENV}`. There is no file that is read without being named.

```toml
port = 5673
data = "/var/lib/pillarbox"
memory_budget = "256MiB"
heartbeat = "30s"
```

- A **size** is a number of bytes, or a number with a unit: `kB`, `MB`, `GB` and `TB` are powers of 1000;
  `KiB`, `MiB`, `GiB`, `TiB` (or just `k`, `M`, `G`, `T`) are powers of 1024.
- A **time** is a number of seconds, or a number with a unit: `ms`, `s`, `m`, `h`, `d`.
- A **truth value** is `true` or `false`; the environment also takes `yes`, `no`, `on`, `off`, `1`, `0`.
  On the command line it is `--memory` or `--no-memory`.
- A **list of names** has commas between the names, or is an array in TOML; `none` is the empty list.

An option that does not exist, a value that cannot be read or is out of range, and a file that is no TOML
stop the broker before it starts, with one line that says where the mistake stands and what is expected
there. A `PILLARBOX_` variable that is no option only gives a warning, and the variables that Kubernetes
makes for a service named `pillarbox` (`PILLARBOX_PORT=tcp://…`) are ignored.

The same table stands in `pillarbox serve --help`.
"""


def configuration_page() -> str:
    """Return docs/configuration.md, from the option table alone."""
    parts = [INTRODUCTION]
    for section, options in groupby(OPTIONS, lambda option: option.row.section):
        parts.append(f"## {section}\n")
        parts.extend(_option_paragraph(option) for option in options)
    return "\n".join(parts)


def _option_paragraph(option: Option) -> str:
    row = option.row
    flag = f"{option.flag}`, `--no-{option.flag[2:]}" if row.kind is FLAG else option.flag
    spellings = [f"`{flag}`", *(f"`{alias}`" for alias in row.aliases), *(f"`{name}`" for name in option.env)]
    value = f"{option.expected[0].upper()}{option.expected[1:]}"
    value = f"{value}. Default: `{option.default_text}`. {' · '.join(spellings)}"
    return f"### `{option.name}`\n\n{row.help}\n\n{value}\n"


class Row(NamedTuple):
    """One line of docs/compatibility.md."""

    id: str
    priority: str
    what: str
    state: str
    tests: str

    @property
    def done(self) -> bool:
        return self.state == "done"

    def __str__(self) -> str:
        return f"| {self.id} | {self.priority} | {self.what} | {self.state} | {self.tests} |"


def compatibility_rows(page: str) -> list[Row]:
    """Return the rows of docs/compatibility.md in their order."""
    return [Row(**match.groupdict()) for line in page.splitlines() if (match := ROW.fullmatch(line))]


def compatibility_page(page: str, tests_by_row: Mapping[str, Sequence[str]]) -> str:
    """Return the page with its last column made from test ids by row, and its list of differences."""
    page = DIFFERENCES.sub(lambda match: f"{match[1]}{_differences(match['file'])}{match[3]}", page)
    lines = []
    for line in page.splitlines():
        if match := ROW.fullmatch(line):
            row = Row(**match.groupdict())
            line = str(row._replace(tests=_proofs(tests_by_row.get(row.id, ()))))
        lines.append(line)
    return "\n".join(lines) + "\n"


def _proofs(tests: Sequence[str]) -> str:
    functions = sorted({test.split("[")[0] for test in tests})
    if len(functions) <= NAMED_TESTS_MAX:
        return ", ".join(f"`{function.removeprefix('tests/')}`" for function in functions)
    files = Counter(function.split("::")[0].removeprefix("tests/") for function in functions)
    return ", ".join(f"{count} in `{file}`" for file, count in sorted(files.items()))


def _differences(file: str) -> str:
    sys.path.insert(0, str(ROOT))  # The tests are no installed package.
    try:
        module = importlib.import_module(file.removesuffix(".py").replace("/", "."))
    finally:
        sys.path.remove(str(ROOT))
    return "\n" + "".join(f"{_item(text)}\n" for text in module.in_words()) + "\n"


def _item(text: str) -> str:
    wrap = textwrap.TextWrapper(
        WIDTH, initial_indent="- ", subsequent_indent="  ", break_long_words=False, break_on_hyphens=False
    )
    return wrap.fill(text)


def command_line_page(page: str) -> str:
    """Return docs/command-line.md with its part made from the table of operations."""
    return COMMANDS.sub(lambda match: f"{match[1]}{_commands()}{match[2]}", page)


def _commands() -> str:
    (section,) = [each for each in SECTIONS if each.module == "operate"]
    parts = []
    for resource, summary in section.commands.items():
        rows = [each for each in OPERATIONS if each.resource == resource]
        lines = [
            f"\n### `pillarbox {resource}`\n",
            f"{summary}\n",
            "| command | | request |",
            "|---|---|---|",
        ]
        lines += [f"| `{_synopsis(each)}` | {_help(each)} | {_request(each)} |" for each in rows]
        parts.append("\n".join(lines) + "\n")
    return "".join(parts) + "\n"


def _synopsis(operation: Operation) -> str:
    words = [operation.words, *(name.upper() for name in operation.path_names)]
    for each in operation.parameters:
        shown = each.name.upper() if each.is_argument else f"--{each.name} {each.kind.value}".rstrip()
        optional = each.is_optional or not each.is_argument
        words.append(f"[{shown}]" if optional else shown)
    return " ".join(words)


def _help(operation: Operation) -> str:
    return " ".join(filter(None, (operation.summary, operation.details)))


def _request(operation: Operation) -> str:
    return f"`{operation.method} {operation.path}`" if operation.path else "any"


def collected_rows() -> dict[str, list[str]]:
    """Return the ids of the tests that carry each row's mark, as pytest collects them. Takes seconds."""
    with tempfile.NamedTemporaryFile(suffix=".json") as out:
        command = [
            sys.executable,
            "-m",
            "pytest",
            "--collect-only",
            "-qq",
            "-p",
            "no:cacheprovider",
            f"--rows={out.name}",
        ]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(
                f"pytest could not collect the tests:\n{done.stdout[-2_000:]}{done.stderr[-2_000:]}"
            )
        rows: dict[str, list[str]] = json.loads(Path(out.name).read_text())
    return rows


def main(arguments: Sequence[str]) -> int:
    pages = {
        CONFIGURATION: configuration_page(),
        COMMAND_LINE: command_line_page(COMMAND_LINE.read_text()),
        COMPATIBILITY: compatibility_page(COMPATIBILITY.read_text(), collected_rows()),
    }
    stale = [path for path, text in pages.items() if not path.exists() or path.read_text() != text]
    check = "--check" in arguments
    for path in stale:
        print(f"{path.relative_to(ROOT)} {'is out of date: run make docs' if check else 'written'}")
        if not check:
            path.write_text(pages[path])
    return 1 if stale and check else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
