"""The recordings and the table of differences speak of the scenarios as they are written."""

from __future__ import annotations

from tests.compare_kafka.differences import DIFFERENCES, NOT_BUILT
from tests.compare_kafka.suite import RECORDINGS, SCENARIOS

NAMES = [each.id for each in SCENARIOS]


def test_every_scenario_is_recorded_and_nothing_else() -> None:
    """A scenario that was added, renamed or removed without recording it anew is found here."""
    assert sorted(RECORDINGS.ids()) == sorted(NAMES)


def test_every_listed_difference_is_a_scenario() -> None:
    """Nothing is listed that is not there any more."""
    assert {each.scenario for each in DIFFERENCES} | set(NOT_BUILT) <= set(NAMES)
