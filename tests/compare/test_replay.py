"""Pillarbox answers every recorded sequence as RabbitMQ did, but for the listed differences.

The recordings were made by `python -m tests.compare record` on the version that each of them names;
nothing but Pillarbox runs here.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.compare.brokers import Broker, pillarbox
from tests.compare.differences import DIFFERENCES, PENDING, expected_steps
from tests.compare.operations import op
from tests.compare.recording import Recording, load_all
from tests.compare.report import first_difference, report
from tests.compare.shrink import shrink
from tests.compare.written import ALL

RECORDINGS = list(load_all())

# pamqp warns of basic.recover-async, which RabbitMQ still takes.
pytestmark = pytest.mark.filterwarnings("ignore:This command is deprecated:DeprecationWarning")


def parameter(recording: Recording) -> object:
    marks = [pytest.mark.row(*recording.rows)] if recording.rows else []
    if recording.name in PENDING:
        marks.append(pytest.mark.xfail(strict=True, reason=PENDING[recording.name]))
    return pytest.param(recording, id=recording.name, marks=marks)


@pytest.fixture(scope="module")
def broker() -> Iterator[Broker]:
    with pillarbox() as running:
        yield running


@pytest.mark.parametrize("recording", [parameter(each) for each in RECORDINGS])
def test_answers_are_those_of_rabbitmq(recording: Recording, broker: Broker) -> None:
    """Every event of every channel, and the counts of every queue, after each operation; and no error
    of ours in the broker's own output.
    """
    expected = expected_steps(recording)
    before = len(broker.printed())
    got = broker.run(recording.operations)
    said = broker.printed()[before:]
    differs = first_difference(expected, got) is not None
    text = report(recording, expected, got, broker.name) if differs else ""
    if text or "Traceback" in said:
        pytest.fail(f"{text}\nmeanwhile the broker said: {said}", pytrace=False)


def test_recordings_are_of_the_transcripts_as_they_are_written() -> None:
    """A transcript that was changed or added without recording it anew is found here."""
    recorded = {each.name: each.operations for each in RECORDINGS}
    stale = [name for name, each in ALL.items() if recorded.get(name) != each.sequence()]
    assert not stale, "run `python -m tests.compare record` for " + ", ".join(stale)


def test_every_listed_difference_is_a_recording() -> None:
    """Nothing is listed that is not there any more."""
    names = {each.name for each in RECORDINGS}
    assert {each.transcript for each in DIFFERENCES} <= names
    assert set(PENDING) <= names


def test_shrinking_leaves_only_what_matters() -> None:
    """The smallest part that still differs, in order."""
    sequence = [op("a1", "basic.get", queue=name) for name in ALL]
    first, last = sequence[3], sequence[-2]

    def differs(part: list[object]) -> bool:
        return first in part and last in part and part.index(first) <= part.index(last)

    assert shrink(sequence, differs) == [first, last]  # type: ignore[arg-type]
