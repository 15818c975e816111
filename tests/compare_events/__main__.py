"""Command line of the comparison; see the package."""

from __future__ import annotations

import argparse
import os
import sys

from tests.compare_events.case import Case
from tests.compare_events.differences import expected
from tests.compare_events.peers import pillarbox, rabbitmq
from tests.compare_events.suite import RECORDINGS, SCENARIOS
from tests.transcripts.registry import chosen
from tests.transcripts.report import difference, stable


def record(words: list[str]) -> int:
    """Run scenarios on RabbitMQ and write the recordings."""
    dropped = 0
    scenarios = chosen(SCENARIOS, words)
    with rabbitmq() as target:
        for file in sorted({each.file for each in scenarios}):
            transcripts = RECORDINGS.load(file)[1]
            for scenario in (each for each in scenarios if each.file == file):
                lines = stable(scenario, lambda: Case(target))
                dropped += lines is None
                if lines is not None:
                    transcripts[scenario.name] = lines
                    print(f"{scenario.id}: {len(lines)} lines", flush=True)
            there = [each.name for each in SCENARIOS if each.file == file and each.name in transcripts]
            RECORDINGS.save(file, target.name, {name: transcripts[name] for name in there})
    return 1 if dropped else 0


def replay(words: list[str]) -> int:
    """Run scenarios on Pillarbox; print what differs from the recordings."""
    found = 0
    scenarios = chosen(SCENARIOS, words)
    with pillarbox() as target:
        for scenario in scenarios:
            peer, transcripts = RECORDINGS.load(scenario.file)
            lines = expected(scenario.id, transcripts.get(scenario.name, []))
            text = difference(scenario.id, peer, lines, target.name, scenario.transcript(Case(target)))
            found += bool(text)
            print(text or f"{scenario.id}: the same", flush=True)
    print(f"{len(scenarios)} scenarios, {found} differ")
    return 1 if found else 0


COMMANDS = {"record": record, "replay": replay}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.compare_events", description=__doc__)
    parser.add_argument("command", choices=COMMANDS)
    parser.add_argument("words", nargs="*", help="parts of scenarios' names (default: all)")
    arguments = parser.parse_args()
    os.nice(5)
    return COMMANDS[arguments.command](arguments.words)


if __name__ == "__main__":
    sys.exit(main())
