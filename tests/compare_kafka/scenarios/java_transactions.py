"""The Java client's transactions, which are those of KIP-890 by themselves. The scenarios stand in Java."""

from __future__ import annotations

from tests.compare_kafka.case import Case
from tests.compare_kafka.scenarios.java_client_tools import missing, program
from tests.transcripts.registry import scenario

__all__ = ["missing"]


@scenario("K60", "K62")
def commit(case: Case) -> None:
    """Over two partitions; each transaction has an epoch of its own."""
    program.play(case, "commit")


@scenario("K60", "K62")
def abort(case: Case) -> None:
    """Records that nobody reads who reads committed ones; and an abort of nothing."""
    program.play(case, "abort")


@scenario("K54", "K60", "K62")
def send_offsets(case: Case) -> None:
    """Offsets of a group, committed with records or alone, and those of a member that is none."""
    program.play(case, "send_offsets")


@scenario("K61", "K62")
def fenced(case: Case) -> None:
    """By another producer with the same id, in and between transactions."""
    program.play(case, "fenced")


@scenario("K62", "K63")
def timeout(case: Case) -> None:
    """What takes too long is aborted; its producer finds out, and goes on."""
    program.play(case, "timeout")


@scenario("K60", "K62")
def restart(case: Case) -> None:
    """The broker restarts in the middle of a transaction that is committed, and of one that is aborted."""
    program.play(case, "restart")


@scenario("K10", "K60")
def last_stable_offset(case: Case) -> None:
    """Readers of committed records wait for the first transaction that is open."""
    program.play(case, "last_stable_offset")


@scenario("K7")
def idempotent(case: Case) -> None:
    """Many batches under way, and what the partition knows of their producer."""
    program.play(case, "idempotent")


@scenario("K60", "K62")
def large(case: Case) -> None:
    """Thousands of records over twelve partitions."""
    program.play(case, "large")


@scenario("K60", "K61", "K62")
def left_open(case: Case) -> None:
    """By a producer that is closed, and by one that is killed."""
    program.play(case, "left_open")


@scenario("K8", "K62")
def failed_record(case: Case) -> None:
    """A record that cannot be stored leaves nothing but an abort."""
    program.play(case, "failed_record")


@scenario("K64")
def administrator_aborts(case: Case) -> None:
    """In one partition by a marker, and as a whole by fencing."""
    program.play(case, "administrator_aborts")
