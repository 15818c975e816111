"""Command line of the comparison; see the package."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from tests.compare_kafka.report import difference
from tests.compare_messaging import suite
from tests.compare_messaging.differences import expected
from tests.compare_messaging.peers import PEERS, Target, pillarbox
from tests.compare_messaging.suite import Line, Scenario, all_scenarios

RUNS_TO_TRUST = 3  # A scenario that does not see the same in so many runs says nothing.


def chosen(words: Sequence[str]) -> list[Scenario]:
    """Return the scenarios with one of the words in their names."""
    return [each for each in all_scenarios() if not words or any(word in each.id for word in words)]


def stable(target: Target, scenario: Scenario) -> list[Line] | None:
    """Return what a scenario sees, or None, with words, if that is not the same every time or an error."""
    first = scenario.transcript(target)
    for _ in range(RUNS_TO_TRUST - 1):
        again = scenario.transcript(target)
        if again != first or (first and first[-1][0] == "raised"):
            print(difference(scenario.id, "first", first, "again", again) or f"{scenario.id}: {first}")
            return None
    return first


def record(words: Sequence[str]) -> int:
    """Run scenarios on their peers and write the recordings."""
    dropped = 0
    scenarios = chosen(words)
    for file in sorted({each.file for each in scenarios}):
        transcripts = suite.load(file)[1]
        of_file = [each for each in scenarios if each.file == file]
        with PEERS[of_file[0].peer]() as target:
            for scenario in of_file:
                lines = stable(target, scenario)
                dropped += lines is None
                if lines is not None:
                    transcripts[scenario.name] = lines
                    print(f"{scenario.id}: {len(lines)} lines", flush=True)
            there = [each.name for each in all_scenarios() if each.file == file]
            suite.save(file, target.name, {name: transcripts[name] for name in there if name in transcripts})
    return 1 if dropped else 0


def replay(words: Sequence[str]) -> int:
    """Run scenarios on Pillarbox; print what differs from the recordings."""
    found = 0
    scenarios = chosen(words)
    for protocol in sorted({each.protocol for each in scenarios}):
        with pillarbox(protocol) as target:
            for scenario in (each for each in scenarios if each.protocol == protocol):
                peer, transcripts = suite.load(scenario.file)
                lines = expected(scenario.id, transcripts.get(scenario.name, []))
                text = difference(scenario.id, peer, lines, target.name, scenario.transcript(target))
                found += bool(text)
                print(text or f"{scenario.id}: the same", flush=True)
    print(f"{len(scenarios)} scenarios, {found} differ")
    return 1 if found else 0


COMMANDS = {"record": record, "replay": replay}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.compare_messaging", description=__doc__)
    parser.add_argument("command", choices=COMMANDS)
    parser.add_argument("words", nargs="*", help="parts of scenarios' names (default: all)")
    arguments = parser.parse_args()
    os.nice(5)
    return COMMANDS[arguments.command](arguments.words)


if __name__ == "__main__":
    sys.exit(main())
