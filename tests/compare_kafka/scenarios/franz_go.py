"""franz-go: producer, consumer, groups, transactions, administrator, logins. The scenarios stand in Go."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from tests.compare_kafka.case import Case
from tests.compare_kafka.scenarios.programs_tools import Program
from tests.transcripts.registry import scenario

SOURCE = Path(__file__).resolve().parent.parent / "franz"
BUILD_TIMEOUT_S = 300


def missing() -> str:
    """Return why franz-go cannot be built here, or the empty string."""
    return "" if shutil.which("go") else "no go on PATH (Go 1.26 or newer)"


def built() -> list[str]:
    """Build the program, which is quick if nothing has changed, and return the command that starts it."""
    program = Path(sys.prefix) / "franz"
    command = ["go", "build", "-o", str(program), "."]
    done = subprocess.run(command, cwd=SOURCE, capture_output=True, text=True, timeout=BUILD_TIMEOUT_S)
    assert done.returncode == 0, done.stderr
    return [str(program)]


program = Program(built)


@scenario("K1", "K2", "K4", "K17")
def round_trip(case: Case) -> None:
    """Keys, values, headers and nulls, plain and in every codec."""
    program.play(case, "round_trip")


@scenario("K5", "K7", "K8", "K75")
def acks(case: Case) -> None:
    """With and without waiting, with and without idempotence, and a record that is too large."""
    program.play(case, "acks")


@scenario("K15", "K16")
def by_time(case: Case) -> None:
    """Beginning, end, and from a time on."""
    program.play(case, "by_time")


@scenario("K50", "K54")
def commit_and_go_on(case: Case) -> None:
    """The next consumer of a group goes on behind what the last one committed."""
    program.play(case, "commit_and_go_on")


@scenario("K51", "K52")
def cooperative_rebalance(case: Case) -> None:
    """Members keep what they do not have to give away."""
    program.play(case, "cooperative_rebalance")


@scenario("K55")
def next_generation_group(case: Case) -> None:
    """The protocol in which the broker assigns."""
    program.play(case, "next_generation_group")


@scenario("K53", "K57")
def static_member(case: Case) -> None:
    """One that comes back under its name gets what it had; an administrator takes it out."""
    program.play(case, "static_member")


@scenario("K60", "K64")
def transactions(case: Case) -> None:
    """Commit and abort, and who sees what."""
    program.play(case, "transactions")


@scenario("K60", "K54")
def consume_process_commit(case: Case) -> None:
    """A group and a transaction in one session."""
    program.play(case, "consume_process_commit")


@scenario("K61", "K75")
def fenced_by_the_next(case: Case) -> None:
    """The second producer with an id ends the transaction of the first, which cannot go on."""
    program.play(case, "fenced_by_the_next")


@scenario("K31", "K32", "K35", "K57")
def administration(case: Case) -> None:
    """Topics, configs, records, groups and their lag."""
    program.play(case, "administration")


@scenario("K70", "K71")
def logins(case: Case) -> None:
    """Every mechanism, with the right and a wrong password."""
    program.play(case, "logins")


@scenario("K2", "K7", "K54", "K60")
def restart_in_the_middle(case: Case) -> None:
    """Clients connect again by themselves and go on; nothing is lost, nothing doubled."""
    program.play(case, "restart_in_the_middle")
