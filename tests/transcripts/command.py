"""The command line of a comparison: recording a peer, and replaying on Pillarbox.

What comparisons share; which brokers run, and what may differ, is theirs (`__main__` of each).
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import groupby

from tests.transcripts.case import Case, Line
from tests.transcripts.recording import Recordings
from tests.transcripts.registry import Scenario
from tests.transcripts.report import RUNS_TO_TRUST, difference, stable

NICENESS = 5
"""A comparison can wait; brokers and clients inherit this."""


def by_file(scenarios: Iterable[Scenario]) -> list[list[Scenario]]:
    """Return the scenarios of each file, in the order of files."""
    files = groupby(sorted(scenarios, key=lambda one: one.file), key=lambda one: one.file)
    return [list(of_file) for _, of_file in files]


def record_file(
    recordings: Recordings,
    scenarios: Sequence[Scenario],
    chosen: Sequence[Scenario],
    peer: str,
    case: Callable[[], Case],
) -> int:
    """Run chosen scenarios of one file and write what they see into its recordings, which stand in the order
    of all `scenarios`. Return how many were left out, because they do not see the same every time."""
    file = chosen[0].file
    transcripts = recordings.load(file)[1]
    dropped = 0
    for scenario in chosen:
        began = time.monotonic()
        lines = stable(scenario, case)
        if lines is None:
            dropped += 1
        else:
            transcripts[scenario.name] = lines
        print(f"{scenario.id}: {(time.monotonic() - began) / RUNS_TO_TRUST:.1f} s", flush=True)
    names = [each.name for each in scenarios if each.file == file and each.name in transcripts]
    recordings.save(file, peer, {name: transcripts[name] for name in names})
    return dropped


def replay(
    recordings: Recordings,
    scenario: Scenario,
    expected: Callable[[str, list[Line]], list[Line]],
    ours: str,
    case: Case,
) -> bool:
    """Run a scenario on Pillarbox; print what it sees otherwise than is expected of what is recorded."""
    peer, transcripts = recordings.load(scenario.file)
    lines = expected(scenario.id, transcripts.get(scenario.name, []))
    text = difference(scenario.id, peer, lines, ours, scenario.transcript(case))
    print(text or f"{scenario.id}: the same", flush=True)
    return bool(text)


def main(package: str, purpose: str | None, commands: Mapping[str, Callable[[list[str]], int]]) -> int:
    """Do what the command line of a package says. Commands get parts of scenarios' names."""
    parser = argparse.ArgumentParser(prog=f"python -m {package}", description=purpose)
    parser.add_argument("command", choices=commands)
    parser.add_argument("words", nargs="*", help="parts of scenarios' names (default: all)")
    arguments = parser.parse_args()
    os.nice(NICENESS)
    return commands[arguments.command](arguments.words)
