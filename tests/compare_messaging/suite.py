"""Scenarios as they are written, run and recorded."""

from __future__ import annotations

import importlib
import json
import pkgutil
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from tests.compare_messaging import scenarios
from tests.compare_messaging.peers import Target

RECORDINGS = Path(__file__).resolve().parent / "recordings"

Line = list[Any]
"""What was seen, and its values: what JSON can hold."""


class Case:
    """One run of a scenario. Names end with a token of the run, which the transcript does not show."""

    def __init__(self, target: Target) -> None:
        self.port = target.port
        self.lines: list[Line] = []
        self._ending = f"-{secrets.token_hex(4)}"

    def name(self, word: str) -> str:
        """Return a name that no other run uses."""
        return word + self._ending

    def saw(self, what: str, *values: Any) -> None:
        """Add a line."""
        self.lines.append([what, *map(self._plain, values)])

    def _plain(self, value: Any) -> Any:
        if value is None or isinstance(value, bool | int | float):
            return value
        if isinstance(value, bytes | bytearray):
            value = bytes(value).decode(errors="backslashreplace")
        if isinstance(value, dict):
            return {str(key): self._plain(each) for key, each in value.items()}
        if isinstance(value, list | tuple):
            return [self._plain(each) for each in value]
        return str(value).replace(self._ending, "")


Run = Callable[[Case], None]


@dataclass(frozen=True)
class Scenario:
    """A function that uses a client, with the rows of docs/compatibility.md that it proves."""

    file: str
    name: str
    protocol: str
    peer: str
    rows: tuple[str, ...]
    run: Run

    @property
    def id(self) -> str:
        return f"{self.file}.{self.name}"

    def transcript(self, target: Target) -> list[Line]:
        """Run it. What it raises is its last line: a client that gives up is an answer too."""
        case = Case(target)
        try:
            self.run(case)
        except Exception as error:  # Whatever a client raises.
            case.saw("raised", type(error).__name__, str(error))
        return case.lines


def scenario(*rows: str) -> Callable[[Run], Run]:
    """Make a function a scenario."""

    def mark(run: Run) -> Run:
        run.rows = rows  # type: ignore[attr-defined]
        return run

    return mark


def all_scenarios() -> list[Scenario]:
    """Return them by file, in the order in which they are written."""
    found = []
    for file in sorted(each.name for each in pkgutil.iter_modules(scenarios.__path__)):
        module = module_of(file)
        for name, run in vars(module).items():
            if hasattr(run, "rows"):
                found.append(Scenario(file, name, module.PROTOCOL, module.PEER, run.rows, run))
    return found


def module_of(file: str) -> ModuleType:
    return importlib.import_module(f"{scenarios.__name__}.{file}")


def missing(file: str) -> str:
    """Return why the scenarios of a file cannot run on this machine, or the empty string."""
    module = module_of(file)
    return str(module.missing()) if hasattr(module, "missing") else ""


Transcripts = dict[str, list[Line]]


def load(file: str) -> tuple[str, Transcripts]:
    """Return the peer's name and what is recorded of a file of scenarios: nothing, if that was never done."""
    path = RECORDINGS / f"{file}.json"
    if not path.exists():
        return "", {}
    content = json.loads(path.read_text())
    return content["peer"], content["scenarios"]


def save(file: str, peer: str, transcripts: Transcripts) -> None:
    """Write one file's recordings, a line of a transcript per line."""
    parts = []
    for name, lines in transcripts.items():
        written = ",\n".join(json.dumps(line, ensure_ascii=False) for line in lines)
        parts.append(f"{json.dumps(name)}: [\n{written}\n]")
    text = f'{{"peer": {json.dumps(peer)}, "scenarios": {{\n' + ",\n".join(parts) + "\n}}\n"
    (RECORDINGS / f"{file}.json").write_text(text)
