"""The recordings and the table of differences speak of the scenarios as they are written."""

from __future__ import annotations

from tests.compare_kafka import recording
from tests.compare_kafka.differences import DIFFERENCES, NOT_BUILT
from tests.compare_kafka.registry import all_scenarios

NAMES = [each.id for each in all_scenarios()]


def test_every_scenario_is_recorded_and_nothing_else() -> None:
    """A scenario that was added, renamed or removed without recording it anew is found here."""
    files = {path.stem: recording.load(path.stem)[1] for path in recording.FOLDER.glob("*.json")}
    recorded = [f"{file}.{name}" for file, transcripts in files.items() for name in transcripts]
    assert sorted(recorded) == sorted(NAMES)


def test_every_listed_difference_is_a_scenario() -> None:
    """Nothing is listed that is not there any more."""
    assert {each.scenario for each in DIFFERENCES} | set(NOT_BUILT) <= set(NAMES)
