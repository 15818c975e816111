"""Command line of the comparison with Kafka; see the package."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence

from bench import kafka_peer
from tests.compare_kafka import recording
from tests.compare_kafka.brokers import kafka, pillarbox
from tests.compare_kafka.case import Broker, Line
from tests.compare_kafka.differences import DIFFERENCES, NOT_BUILT, expected
from tests.compare_kafka.registry import Scenario, all_scenarios, missing
from tests.compare_kafka.report import difference

RUNS_TO_TRUST = 3  # A scenario that does not see the same in so many runs says nothing.
NICENESS = 5  # A comparison can wait; brokers and clients inherit this.


def chosen(words: Sequence[str]) -> list[Scenario]:
    """Return the scenarios with one of the words in their names whose client is here; name the others."""
    found = [each for each in all_scenarios() if not words or any(word in each.id for word in words)]
    reasons = {file: missing(file) for file in {each.file for each in found}}
    for file, reason in sorted(reasons.items()):
        if reason:
            print(f"left out: {file}: {reason}", file=sys.stderr)
    return [each for each in found if not reasons[each.file]]


def stable(broker: Broker, scenario: Scenario) -> list[Line] | None:
    """Return what a scenario sees, or None, with words, if that is not the same every time or an error."""
    first = scenario.transcript(broker)
    for _ in range(RUNS_TO_TRUST - 1):
        if first and first[-1][0] == "raised":
            print(f"{scenario.id}: {first}", file=sys.stderr)
            return None
        again = scenario.transcript(broker)
        if again != first:
            print(difference(scenario.id, "first", first, "again", again), file=sys.stderr)
            return None
    return first


def record(words: Sequence[str]) -> int:
    """Run scenarios on Kafka and write the recordings."""
    scenarios = chosen(words)
    dropped = 0
    with kafka() as broker:
        for file in sorted({each.file for each in scenarios}):
            transcripts = recording.load(file)[1]
            for scenario in (each for each in scenarios if each.file == file):
                began = time.monotonic()
                lines = stable(broker, scenario)
                if lines is None:
                    dropped += 1
                else:
                    transcripts[scenario.name] = lines
                print(f"{scenario.id}: {(time.monotonic() - began) / RUNS_TO_TRUST:.1f} s", flush=True)
            there = [each.name for each in all_scenarios() if each.file == file]
            kept = {name: transcripts[name] for name in there if name in transcripts}
            recording.save(file, broker.name, kept)
    return 1 if dropped else 0


def run(words: Sequence[str]) -> int:
    """Run scenarios on both brokers now; print what differs."""
    found = 0
    scenarios = chosen(words)
    with kafka() as peer, pillarbox() as ours:
        for scenario in scenarios:
            lines = expected(scenario.id, scenario.transcript(peer))
            found += differs(scenario, peer.name, lines, ours)
    return closing(len(scenarios), found)


def replay(words: Sequence[str]) -> int:
    """Run scenarios on Pillarbox; print what differs from the recordings."""
    found = 0
    scenarios = chosen(words)
    with pillarbox() as ours:
        for scenario in scenarios:
            peer, transcripts = recording.load(scenario.file)
            lines = expected(scenario.id, transcripts.get(scenario.name, []))
            found += differs(scenario, peer, lines, ours)
    return closing(len(scenarios), found)


def differs(scenario: Scenario, peer: str, lines: list[Line], ours: Broker) -> bool:
    """Run a scenario on Pillarbox; print what it sees otherwise, and tell if that is a finding."""
    began = time.monotonic()
    text = difference(scenario.id, peer, lines, ours.name, scenario.transcript(ours))
    took = time.monotonic() - began
    reason = NOT_BUILT.get(scenario.id)
    if text:
        print(text if reason is None else f"{scenario.id}: not built: {reason}", flush=True)
    elif reason is not None:
        print(f"{scenario.id}: is called not built ({reason}), and is", flush=True)
    else:
        print(f"{scenario.id}: the same, {took:.1f} s", flush=True)
    return bool(text) == (reason is None)


def closing(count: int, found: int) -> int:
    listed = f"{len(NOT_BUILT)} are not built, {len(DIFFERENCES)} meant to differ"
    print(f"{count} scenarios, {found} findings; {listed}")
    return 1 if found else 0


COMMANDS = {"record": record, "run": run, "replay": replay}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.compare_kafka", description=__doc__)
    parser.add_argument("command", choices=COMMANDS)
    parser.add_argument("words", nargs="*", help="parts of scenarios' names (default: all)")
    arguments = parser.parse_args()
    if arguments.command != "replay" and (reason := kafka_peer.missing()):
        print(reason, file=sys.stderr)
        return 1
    os.nice(NICENESS)
    return COMMANDS[arguments.command](arguments.words)


if __name__ == "__main__":
    sys.exit(main())
