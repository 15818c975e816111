"""Command line of the comparison with Kafka; see the package."""

from __future__ import annotations

import argparse
import os
import sys
import time

from bench import kafka_peer
from tests.compare_kafka.brokers import kafka, pillarbox
from tests.compare_kafka.case import Broker, Case
from tests.compare_kafka.differences import DIFFERENCES, NOT_BUILT
from tests.compare_kafka.suite import RECORDINGS, SCENARIOS
from tests.transcripts.case import Line
from tests.transcripts.registry import Scenario, chosen
from tests.transcripts.report import RUNS_TO_TRUST, difference, expected, stable

NICENESS = 5  # A comparison can wait; brokers and clients inherit this.


def runnable(words: list[str]) -> list[Scenario]:
    """Return the scenarios with one of the words in their names whose client is here; name the others."""
    found = chosen(SCENARIOS, words)
    reasons = {each.file: each.missing for each in found}
    for file, reason in sorted(reasons.items()):
        if reason:
            print(f"left out: {file}: {reason}", file=sys.stderr)
    return [each for each in found if not reasons[each.file]]


def record(words: list[str]) -> int:
    """Run scenarios on Kafka and write the recordings."""
    scenarios = runnable(words)
    dropped = 0
    with kafka() as broker:
        for file in sorted({each.file for each in scenarios}):
            transcripts = RECORDINGS.load(file)[1]
            for scenario in (each for each in scenarios if each.file == file):
                began = time.monotonic()
                lines = stable(scenario, lambda: Case(broker))
                if lines is None:
                    dropped += 1
                else:
                    transcripts[scenario.name] = lines
                print(f"{scenario.id}: {(time.monotonic() - began) / RUNS_TO_TRUST:.1f} s", flush=True)
            there = [each.name for each in SCENARIOS if each.file == file]
            kept = {name: transcripts[name] for name in there if name in transcripts}
            RECORDINGS.save(file, broker.name, kept)
    return 1 if dropped else 0


def run(words: list[str]) -> int:
    """Run scenarios on both brokers now; print what differs."""
    found = 0
    scenarios = runnable(words)
    with kafka() as peer, pillarbox() as ours:
        for scenario in scenarios:
            lines = expected(DIFFERENCES, scenario.id, scenario.transcript(Case(peer)))
            found += differs(scenario, peer.name, lines, ours)
    return closing(len(scenarios), found)


def replay(words: list[str]) -> int:
    """Run scenarios on Pillarbox; print what differs from the recordings."""
    found = 0
    scenarios = runnable(words)
    with pillarbox() as ours:
        for scenario in scenarios:
            peer, transcripts = RECORDINGS.load(scenario.file)
            lines = expected(DIFFERENCES, scenario.id, transcripts.get(scenario.name, []))
            found += differs(scenario, peer, lines, ours)
    return closing(len(scenarios), found)


def differs(scenario: Scenario, peer: str, lines: list[Line], ours: Broker) -> bool:
    """Run a scenario on Pillarbox; print what it sees otherwise, and tell if that is a finding."""
    began = time.monotonic()
    text = difference(scenario.id, peer, lines, ours.name, scenario.transcript(Case(ours)))
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
