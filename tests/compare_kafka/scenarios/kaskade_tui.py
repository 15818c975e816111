"""kaskade, a text interface for Kafka, in an environment of its own: what it shows. See kaskade/play.py."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.compare_kafka.case import Case
from tests.compare_kafka.scenarios.programs_tools import Program
from tests.transcripts.registry import scenario

HERE = Path(__file__).resolve().parent.parent / "kaskade"
PYTHON = Path(sys.prefix) / "kaskade" / "bin" / "python"
"""What `make setup` makes."""


def missing() -> str:
    """Return why kaskade is not here, or the empty string."""
    return "" if PYTHON.exists() else "kaskade is not installed: run `make setup`"


program = Program(lambda: [str(PYTHON), str(HERE / "play.py")])


@scenario("K31", "K32", "K54", "K57", "K77")
def topics(case: Case) -> None:
    """A topic is made, filled, described with its groups and their lag, changed and deleted."""
    program.play(case, "topics")


@scenario("K10", "K77")
def records(case: Case) -> None:
    """Keys as text, values as JSON."""
    program.play(case, "records")
