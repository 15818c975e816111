"""Transcripts of one scenario side by side: what differs, and what may."""

from __future__ import annotations

import difflib
import json
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from tests.transcripts.case import Case, Line
from tests.transcripts.registry import Scenario

LINE_MAX = 300
"""Longer lines are cut when they are shown."""

RUNS_TO_TRUST = 3
"""A scenario that does not see the same in so many runs says nothing."""


@dataclass(frozen=True)
class Difference:
    """`lines` are those of the peer's transcript that are others here, by their number."""

    scenario: str
    reason: str
    lines: dict[int, Line]


def expected(differences: Iterable[Difference], scenario: str, recorded: list[Line]) -> list[Line]:
    """Return what Pillarbox is to show where the peer showed the recorded lines."""
    lines = list(recorded)
    for difference in differences:
        if difference.scenario == scenario:
            for number, line in difference.lines.items():
                lines[number] = line
    return lines


def difference(name: str, peer: str, expected: list[Line], ours: str, got: list[Line]) -> str:
    """Return what differs, with the lines around it; the empty string if nothing does."""
    before, after = ([json.dumps(line, ensure_ascii=False) for line in lines] for lines in (expected, got))
    lines = difflib.unified_diff(before, after, peer, ours, lineterm="", n=2)
    shown = [line if len(line) < LINE_MAX else f"{line[:LINE_MAX]}..." for line in lines]
    return "\n".join([f"--- {name}", *shown]) if shown else ""


def stable(scenario: Scenario, case: Callable[[], Case]) -> list[Line] | None:
    """Return what a scenario sees, or None, with words, if that is not the same every time or an error."""
    first = scenario.transcript(case())
    for _ in range(RUNS_TO_TRUST - 1):
        if first and first[-1][0] == "raised":
            print(f"{scenario.id}: {first}", file=sys.stderr)
            return None
        again = scenario.transcript(case())
        if again != first:
            print(difference(scenario.id, "first", first, "again", again), file=sys.stderr)
            return None
    return first
