"""KafkaJS: producer, consumer, groups, transactions, administrator, logins. See node/kafkajs.mjs."""

from __future__ import annotations

from tests.compare_kafka.case import Case
from tests.compare_kafka.scenarios import npm_tools
from tests.compare_kafka.scenarios.programs_tools import Program
from tests.transcripts.registry import scenario


def missing() -> str:
    """Return why KafkaJS is not here, or the empty string."""
    return npm_tools.missing("kafkajs")


program = Program(lambda: ["node", str(npm_tools.NODE / "kafkajs.mjs")])


@scenario("K1", "K2", "K4", "K17")
def round_trip(case: Case) -> None:
    """Keys, values, headers and nulls, plain and in the one codec that it brings along."""
    program.play(case, "round_trip")


@scenario("K5", "K7", "K8", "K75")
def acks(case: Case) -> None:
    """With and without waiting, with and without idempotence, and a record that is too large."""
    program.play(case, "acks")


@scenario("K50", "K54", "K57")
def commit_and_go_on(case: Case) -> None:
    """The next consumer of a group goes on behind what the last one committed; offsets are reset."""
    program.play(case, "commit_and_go_on")


@scenario("K50", "K51")
def two_members(case: Case) -> None:
    """Partitions are shared by its own round robin, and taken over from whoever leaves."""
    program.play(case, "two_members")


@scenario("K31", "K32", "K37", "K75")
def administration(case: Case) -> None:
    """Topics, partitions, configs, and what is refused."""
    program.play(case, "administration")


@scenario("K15", "K35")
def records(case: Case) -> None:
    """Offsets by time, and records deleted."""
    program.play(case, "records")


@scenario("K60", "K61")
def transactions(case: Case) -> None:
    """Abort and commit, with offsets, read both ways; a producer that another one has replaced."""
    program.play(case, "transactions")


@scenario("K71")
def logins(case: Case) -> None:
    """PLAIN and SCRAM, with the right password and a wrong one."""
    program.play(case, "logins")
