"""The Java client from day to day: producers, consumers, groups. The scenarios stand in Java."""

from __future__ import annotations

from tests.compare_kafka.case import Case
from tests.compare_kafka.scenarios.java_client_tools import missing, program
from tests.transcripts.registry import scenario

__all__ = ["missing"]


@scenario("K2", "K4", "K6", "K17")
def records(case: Case) -> None:
    """Keys, headers, nulls and times, in every codec."""
    program.play(case, "records")


@scenario("K1", "K75")
def keys(case: Case) -> None:
    """The client picks the partition."""
    program.play(case, "keys")


@scenario("K5", "K8", "K75")
def acks_and_sizes(case: Case) -> None:
    """With and without waiting; records and names that are refused."""
    program.play(case, "acks_and_sizes")


@scenario("K50", "K51", "K52")
def cooperative_group(case: Case) -> None:
    """A second member comes and leaves; the first keeps what it need not give away."""
    program.play(case, "cooperative_group")


@scenario("K50", "K51")
def eager_group(case: Case) -> None:
    """The same where everything is given away first."""
    program.play(case, "eager_group")


@scenario("K55")
def consumer_protocol_group(case: Case) -> None:
    """The same in the protocol in which the broker assigns."""
    program.play(case, "consumer_protocol_group")


@scenario("K53")
def static_member(case: Case) -> None:
    """One that comes back gets what it had, and two of one name do not get along."""
    program.play(case, "static_member")


@scenario("K53", "K55")
def static_member_of_the_new_protocol(case: Case) -> None:
    program.play(case, "static_member_of_the_new_protocol")


@scenario("K10", "K15", "K16")
def seek_pause_resume(case: Case) -> None:
    program.play(case, "seek_pause_resume")


@scenario("K54")
def commits(case: Case) -> None:
    """At once, later and by itself; with metadata, and what cannot be committed."""
    program.play(case, "commits")


@scenario("K50", "K54")
def commit_of_a_former_member(case: Case) -> None:
    program.play(case, "commit_of_a_former_member")


@scenario("K15")
def offsets_for_times(case: Case) -> None:
    program.play(case, "offsets_for_times")


@scenario("K50", "K55")
def patterns(case: Case) -> None:
    """Topics by pattern, which the client looks for, or the broker."""
    program.play(case, "patterns")


@scenario("K50", "K54")
def consumer_over_a_restart(case: Case) -> None:
    """A member goes on when the broker is back."""
    program.play(case, "consumer_over_a_restart")
