"""All scenarios, by the name of their file and their own."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType

from tests.compare_kafka import scenarios
from tests.compare_kafka.case import Broker, Case, Line

Run = Callable[[Case], None]


@dataclass(frozen=True)
class Scenario:
    """A function that uses a client, with the rows of docs/compatibility.md that it proves."""

    file: str
    name: str
    rows: tuple[str, ...]
    run: Run

    @property
    def id(self) -> str:
        return f"{self.file}.{self.name}"

    def transcript(self, broker: Broker) -> list[Line]:
        """Run it. What it raises is its last line: a client that gives up is an answer too."""
        case = Case(broker)
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


def missing(file: str) -> str:
    """Return why the scenarios of a file cannot run on this machine, or the empty string."""
    module = _module(file)
    return str(module.missing()) if hasattr(module, "missing") else ""


def all_scenarios() -> list[Scenario]:
    """Return them by file, in the order in which they are written."""
    return [
        Scenario(file, name, run.rows, run)
        for _, file, _ in sorted(pkgutil.iter_modules(scenarios.__path__), key=lambda each: each.name)
        for name, run in vars(_module(file)).items()
        if hasattr(run, "rows") and run.__module__ == _module(file).__name__
    ]


def _module(file: str) -> ModuleType:
    return importlib.import_module(f"{scenarios.__name__}.{file}")
