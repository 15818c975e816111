"""Command line of the comparison; see the package."""

from __future__ import annotations

import sys

from tests.compare_events.case import Case
from tests.compare_events.differences import expected
from tests.compare_events.peers import pillarbox, rabbitmq
from tests.compare_events.suite import RECORDINGS, SCENARIOS
from tests.transcripts import command
from tests.transcripts.registry import chosen


def record(words: list[str]) -> int:
    """Run scenarios on RabbitMQ and write the recordings."""
    dropped = 0
    with rabbitmq() as target:
        for of_file in command.by_file(chosen(SCENARIOS, words)):
            dropped += command.record_file(RECORDINGS, SCENARIOS, of_file, target.name, lambda: Case(target))
    return 1 if dropped else 0


def replay(words: list[str]) -> int:
    """Run scenarios on Pillarbox; print what differs from the recordings."""
    scenarios = chosen(SCENARIOS, words)
    with pillarbox() as target:
        found = sum(
            command.replay(RECORDINGS, each, expected, target.name, Case(target)) for each in scenarios
        )
    print(f"{len(scenarios)} scenarios, {found} differ")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(command.main("tests.compare_events", __doc__, {"record": record, "replay": replay}))
