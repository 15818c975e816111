"""The Java client of administrators. The scenarios stand in Java."""

from __future__ import annotations

from tests.compare_kafka.case import Case
from tests.compare_kafka.scenarios.java_client_tools import missing, program
from tests.transcripts.registry import scenario

__all__ = ["missing"]


@scenario("K31", "K75")
def topics(case: Case) -> None:
    """Made, described, grown, deleted; and what is refused."""
    program.play(case, "topics")


@scenario("K32")
def configs(case: Case) -> None:
    """Set, appended to, subtracted from, taken away."""
    program.play(case, "configs")


@scenario("K54", "K57")
def groups(case: Case) -> None:
    """Listed, described, their offsets altered, members taken out, deleted."""
    program.play(case, "groups")


@scenario("K15", "K35")
def records_and_offsets(case: Case) -> None:
    """Records deleted from the beginning."""
    program.play(case, "records_and_offsets")


@scenario("K37", "K62")
def cluster(case: Case) -> None:
    """Its nodes, its level of transactions, its logs."""
    program.play(case, "cluster")
