"""Unmodified Kafka clients see on Pillarbox what they saw on Apache Kafka, but for the listed differences.

The recordings were made by `python -m tests.compare_kafka record` on the version that each of them names;
nothing but Pillarbox runs here.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.compare_kafka.brokers import pillarbox
from tests.compare_kafka.case import Broker, Case
from tests.compare_kafka.differences import DIFFERENCES, NOT_BUILT
from tests.compare_kafka.suite import RECORDINGS, SCENARIOS
from tests.transcripts.registry import Scenario
from tests.transcripts.report import difference, expected


def parameter(scenario: Scenario) -> object:
    marks = [pytest.mark.row(*scenario.rows)]
    if scenario.missing:
        marks.append(pytest.mark.skip(reason=scenario.missing))
    elif scenario.id in NOT_BUILT:
        marks.append(pytest.mark.xfail(strict=True, reason=f"not built: {NOT_BUILT[scenario.id]}"))
    return pytest.param(scenario, id=scenario.id, marks=marks)


@pytest.fixture(scope="module")
def broker() -> Iterator[Broker]:
    with pillarbox() as running:
        yield running


@pytest.mark.parametrize("scenario", [parameter(each) for each in SCENARIOS])
def test_clients_see_what_they_see_on_kafka(scenario: Scenario, broker: Broker) -> None:
    """Every line of the transcript; and the broker's own output shows no error of ours."""
    peer, transcripts = RECORDINGS.load(scenario.file)
    lines = expected(DIFFERENCES, scenario.id, transcripts[scenario.name])
    before = len(broker.printed())
    text = difference(scenario.id, peer, lines, broker.name, scenario.transcript(Case(broker)))
    said = broker.printed()[before:]
    if text or "Traceback" in said:
        pytest.fail(f"{text}\nmeanwhile the broker said: {said}", pytrace=False)
