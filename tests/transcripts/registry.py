"""Scenarios, by the name of their file and their own."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from tests.transcripts.case import Case, Line

Run = Callable[[Any], None]
"""It takes the comparison's own `Case`."""


@dataclass(frozen=True)
class Scenario:
    """A function that uses a client, with the rows of docs/compatibility.md that it proves."""

    module: ModuleType
    name: str
    rows: tuple[str, ...]
    run: Run

    @property
    def file(self) -> str:
        return self.module.__name__.rpartition(".")[2]

    @property
    def id(self) -> str:
        return f"{self.file}.{self.name}"

    @property
    def missing(self) -> str:
        """Why the scenarios of this file cannot run on this machine, or the empty string."""
        return str(self.module.missing()) if hasattr(self.module, "missing") else ""

    def transcript(self, case: Case) -> list[Line]:
        """Run it. What it raises is its last line: a client that gives up is an answer too."""
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


def all_scenarios(package: ModuleType) -> list[Scenario]:
    """Return those of a package by file, in the order in which they are written.

    A file that names a module as `SHARED` has the scenarios of that module as well.
    """
    found = []
    for file in sorted(each.name for each in pkgutil.iter_modules(package.__path__)):
        module = importlib.import_module(f"{package.__name__}.{file}")
        for place in (getattr(module, "SHARED", None), module):
            for name, run in vars(place).items() if place is not None else ():
                if hasattr(run, "rows") and run.__module__ == place.__name__:
                    found.append(Scenario(module, name, run.rows, run))
    return found


def chosen(scenarios: list[Scenario], words: list[str]) -> list[Scenario]:
    """Return the scenarios with one of the words in their names; without words, all."""
    return [each for each in scenarios if not words or any(word in each.id for word in words)]
