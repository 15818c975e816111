"""Command line of the comparison with Kafka; see the package."""

from __future__ import annotations

import sys
import time

from bench import kafka_peer
from tests.compare_kafka.brokers import kafka, pillarbox
from tests.compare_kafka.case import Broker, Case
from tests.compare_kafka.differences import DIFFERENCES, NOT_BUILT
from tests.compare_kafka.suite import RECORDINGS, SCENARIOS
from tests.transcripts import command
from tests.transcripts.case import Line
from tests.transcripts.registry import Scenario, chosen
from tests.transcripts.report import difference, expected


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
    demand_kafka()
    dropped = 0
    with kafka() as broker:
        for of_file in command.by_file(runnable(words)):
            dropped += command.record_file(RECORDINGS, SCENARIOS, of_file, broker.name, lambda: Case(broker))
    return 1 if dropped else 0


def run(words: list[str]) -> int:
    """Run scenarios on both brokers now; print what differs."""
    demand_kafka()
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


def demand_kafka() -> None:
    """End the program where there is no Kafka to compare with."""
    if reason := kafka_peer.missing():
        sys.exit(reason)


if __name__ == "__main__":
    sys.exit(command.main("tests.compare_kafka", __doc__, {"record": record, "run": run, "replay": replay}))
