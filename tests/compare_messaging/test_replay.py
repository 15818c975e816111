"""Unmodified clients see on Pillarbox what they saw on the peer, but for the listed differences."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

import pytest

from tests.compare_messaging.case import Case
from tests.compare_messaging.differences import DIFFERENCES, NOT_BUILT
from tests.compare_messaging.peers import PROTOCOLS, Target, pillarbox
from tests.compare_messaging.suite import RECORDINGS, SCENARIOS
from tests.transcripts.registry import Scenario
from tests.transcripts.report import difference, expected


def parameter(scenario: Scenario) -> object:
    marks = [pytest.mark.row(*scenario.rows)]
    if scenario.id in NOT_BUILT:
        marks.append(pytest.mark.xfail(strict=True, reason=f"not built: {NOT_BUILT[scenario.id]}"))
    return pytest.param(scenario, id=scenario.id, marks=marks)


@pytest.fixture(scope="module")
def targets() -> Iterator[dict[str, Target]]:
    with contextlib.ExitStack() as stack:
        yield {protocol: stack.enter_context(pillarbox(protocol)) for protocol in PROTOCOLS}


@pytest.mark.parametrize("scenario", [parameter(each) for each in SCENARIOS])
def test_clients_see_what_they_see_on_the_peer(scenario: Scenario, targets: dict[str, Target]) -> None:
    """Every line of the transcript; and the broker's own output shows no error of ours."""
    if reason := scenario.missing:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(reason)
    peer, transcripts = RECORDINGS.load(scenario.file)
    target = targets[scenario.module.PROTOCOL]
    lines = expected(DIFFERENCES, scenario.id, transcripts[scenario.name])
    before = len(target.printed())
    text = difference(scenario.id, peer, lines, target.name, scenario.transcript(Case(target)))
    said = target.printed()[before:]
    if text or "Traceback" in said:
        pytest.fail(f"{text}\nmeanwhile the broker said: {said}", pytrace=False)


def test_every_scenario_is_recorded_and_nothing_else() -> None:
    recorded = RECORDINGS.ids()
    assert sorted(recorded) == sorted(each.id for each in SCENARIOS)
    # A protocol that was taken out takes its files along.
    files = {each.file for each in SCENARIOS}
    listed = {each.scenario for each in DIFFERENCES} | set(NOT_BUILT)
    assert {each for each in listed if each.partition(".")[0] in files} <= set(recorded)
