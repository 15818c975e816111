"""Pillarbox tells of every scenario what RabbitMQ told, but for the listed differences. It runs alone."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.compare_events.case import Case
from tests.compare_events.differences import DIFFERENCES, expected
from tests.compare_events.peers import OTHERS, SPOKEN, Target, pillarbox
from tests.compare_events.suite import RECORDINGS, SCENARIOS
from tests.transcripts.registry import Scenario
from tests.transcripts.report import difference

UNSPOKEN = tuple(f"other_protocols.{name}" for name in OTHERS if name not in SPOKEN)
PLAYED = [each for each in SCENARIOS if not each.id.startswith(UNSPOKEN)]


@pytest.fixture(scope="module")
def target() -> Iterator[Target]:
    with pillarbox() as running:
        yield running


@pytest.mark.parametrize(
    "scenario", [pytest.param(each, id=each.id, marks=pytest.mark.row(*each.rows)) for each in PLAYED]
)
def test_events_are_those_of_rabbitmq(scenario: Scenario, target: Target) -> None:
    """Routing keys, headers with their types and values, and the order."""
    peer, transcripts = RECORDINGS.load(scenario.file)
    lines = expected(scenario.id, transcripts[scenario.name])
    text = difference(scenario.id, peer, lines, target.name, scenario.transcript(Case(target)))
    if text:
        pytest.fail(text, pytrace=False)


def test_every_scenario_is_recorded_and_nothing_else() -> None:
    recorded = RECORDINGS.ids()
    assert sorted(recorded) == sorted(each.id for each in SCENARIOS)
    assert {each.scenario for each in DIFFERENCES} <= set(recorded)
