"""Kafka's Java share consumer and the console tools for share groups (KIP-932)."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tests.compare_kafka.case import Case
from tests.compare_kafka.scenarios.confluent_tools import WAIT_S, producer, send, topic, values
from tests.compare_kafka.scenarios.java_share_tools import (
    EXPLICIT,
    ShareConsumer,
    earliest,
)
from tests.compare_kafka.scenarios.java_tools import missing, run, saw, written
from tests.transcripts.registry import scenario

__all__ = ["missing"]


def filled(case: Case, *texts: str) -> str:
    """A topic with these records, each a batch of its own."""
    name = topic(case, "t")
    sender = producer(case)
    for text in texts:
        send(sender, name, values(text))
    return name


def until(condition: Callable[[], bool]) -> None:
    """Ask until it is so; a scenario that waits in vain differs."""
    deadline = time.monotonic() + WAIT_S
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.05)


def offsets(case: Case, group: str) -> list[str]:
    """What the tool shows of a group's offsets, without headings."""
    lines = written(case, "share-groups", "--describe", "--group", group, "--offsets")
    return [line for line in lines if line.startswith(case.shorten(group))]


def remove_before(case: Case, name: str, offset: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "offsets.json"
        place = {"topic": name, "partition": 0, "offset": offset}
        file.write_text(json.dumps({"partitions": [place], "version": 1}))
        written(case, "delete-records", "--offset-json-file", str(file))


@scenario("K56")
def read_and_accept(case: Case) -> None:
    """Implicit mode: the next poll accepts; who comes later gets nothing of it."""
    name, group = filled(case, *"abcde"), earliest(case)
    reader = ShareConsumer(case, group, name)
    case.saw("read", reader.drain(5))
    case.saw("lock", reader.lock_ms())
    case.saw("commit", reader.commit())
    case.saw("again", reader.poll())
    case.saw("offsets", offsets(case, group))
    reader.close()
    other = ShareConsumer(case, group, name)
    case.saw("other", other.poll(1500))
    other.close()


@scenario("K56")
def latest_is_the_default(case: Case) -> None:
    """A group sees what comes after it has first looked."""
    name, group = filled(case, *"abc"), case.name("group")
    reader = ShareConsumer(case, group, name)
    case.saw("nothing yet", reader.poll(2500))
    case.saw("offsets", offsets(case, group))
    send(producer(case), name, values("d", "e"))
    case.saw("read", reader.drain(2))
    case.saw("commit", reader.commit())
    case.saw("offsets", offsets(case, group))
    reader.close()


@scenario("K56")
def release_and_redelivery(case: Case) -> None:
    """Explicit mode: released records come again with a count, in their place."""
    name, group = filled(case, *"abcd"), earliest(case)
    reader = ShareConsumer(case, group, name, EXPLICIT)
    case.saw("read", reader.drain(4))
    case.saw("ack", reader.ack("RELEASE", 1), reader.ack("ACCEPT", 0, 2), reader.ack("RELEASE", 3))
    case.saw("commit", reader.commit())
    case.saw("offsets", offsets(case, group))
    case.saw("again", reader.poll_some())
    case.saw("ack", reader.ack("ACCEPT", 1, 3))
    case.saw("commit", reader.commit())
    case.saw("offsets", offsets(case, group))
    case.saw("nothing more", reader.poll())
    reader.close()


@scenario("K56")
def reject(case: Case) -> None:
    """A rejected record never comes again."""
    name, group = filled(case, *"abc"), earliest(case)
    reader = ShareConsumer(case, group, name, EXPLICIT)
    case.saw("read", reader.drain(3))
    case.saw("ack", reader.ack("REJECT", 0, 1), reader.ack("RELEASE", 2))
    case.saw("commit", reader.commit())
    case.saw("again", reader.poll_some())
    case.saw("offsets", offsets(case, group))
    case.saw("ack", reader.ack("ACCEPT", 2), reader.commit())
    reader.close()


@scenario("K56")
def delivery_limit(case: Case) -> None:
    """After five deliveries a record is given up."""
    name, group = filled(case, "a"), earliest(case)
    reader = ShareConsumer(case, group, name, EXPLICIT)
    for _ in range(5):
        case.saw("read", reader.poll_some())
        case.saw("release", reader.ack("RELEASE", 0), reader.commit())
    case.saw("given up", reader.poll())
    case.saw("offsets", offsets(case, group))
    reader.close()


@scenario("K56")
def lock_ends(case: Case) -> None:
    """What is not answered in time goes to somebody else; the late answer is refused."""
    name, group = filled(case, *"ab"), earliest(case, share_record_lock_duration_ms="1500")
    slow = ShareConsumer(case, group, name, EXPLICIT)
    case.saw("slow", slow.drain(2), slow.lock_ms())
    fast = ShareConsumer(case, group, name, EXPLICIT)
    case.saw("locked", fast.poll(300))
    case.saw("fast", fast.poll_some())
    case.saw("late", slow.ack("ACCEPT", 0, 1), slow.commit())
    case.saw("ack", fast.ack("ACCEPT", 0, 1), fast.commit())
    case.saw("offsets", offsets(case, group))
    slow.close()
    fast.close()


@scenario("K56")
def renew(case: Case) -> None:
    """A lock can be renewed for as long as the work takes."""
    name, group = filled(case, *"ab"), earliest(case, share_record_lock_duration_ms="2000")
    slow = ShareConsumer(case, group, name, EXPLICIT)
    case.saw("slow", slow.drain(2))
    other = ShareConsumer(case, group, name, EXPLICIT)
    for _ in range(5):
        case.saw("renew", slow.ack("RENEW", 0, 1), slow.commit(), slow.poll())
        case.saw("locked", other.poll(800))
    case.saw("ack", slow.ack("ACCEPT", 0), slow.ack("RELEASE", 1), slow.commit())
    case.saw("other", other.poll_some())
    case.saw("ack", other.ack("ACCEPT", 1), other.commit())
    slow.close()
    other.close()


@scenario("K56")
def two_share_a_partition(case: Case) -> None:
    """Members of one group read one partition at once, each record only one of them."""
    name, group = filled(case, *"abcdef"), earliest(case)
    strict = ("max.poll.records=2", "share.acquire.mode=record_limit", EXPLICIT)
    one = ShareConsumer(case, group, name, *strict)
    case.saw("one", one.poll_some())
    two = ShareConsumer(case, group, name, *strict)
    case.saw("two", two.poll_some())
    for kind in ("--members", "--state"):
        lines = written(case, "share-groups", "--describe", "--group", group, kind)
        case.saw(kind, len(lines), [line.split()[0] for line in lines])
    case.saw("ack", one.ack("ACCEPT", 0, 1), one.commit())
    case.saw("ack", two.ack("RELEASE", 2, 3), two.commit())
    case.saw("one", one.poll_some())
    case.saw("two", two.poll_some())
    one.close()
    two.close()


@scenario("K56")
def members_that_go(case: Case) -> None:
    """What a consumer had and had not answered when it closed comes again, to the next one."""
    name, group = filled(case, *"abc"), earliest(case)
    for _ in range(2):
        reader = ShareConsumer(case, group, name, EXPLICIT)
        case.saw("read", reader.drain(3))
        reader.close()
    reader = ShareConsumer(case, group, name)
    case.saw("read", reader.drain(3))
    reader.close()
    last = ShareConsumer(case, group, name)
    case.saw("accepted by closing", last.poll(1500))
    last.close()


@scenario("K56")
def rules_of_explicit_mode(case: Case) -> None:
    """What the client itself does not allow, and an answer to what is not held any more."""
    name, group = filled(case, *"ab"), earliest(case)
    reader = ShareConsumer(case, group, name, EXPLICIT)
    case.saw("read", reader.drain(2))
    case.saw("poll", reader.poll())
    case.saw("ack", reader.ack("ACCEPT", 0, 1), reader.commit())
    case.saw("twice", reader.ack("ACCEPT", 0))
    case.saw("commit", reader.commit())
    reader.close()
    implicit = ShareConsumer(case, group, name)
    case.saw("read", implicit.poll())
    implicit.close()


@scenario("K56", "K60")
def transactions(case: Case) -> None:
    """Isolation is a config of the group: aborted records are seen or not."""
    name = topic(case, "t")
    worker = producer(case, {"transactional.id": case.name("id")})
    worker.init_transactions(WAIT_S)
    for text, commit in (("a", True), ("b", False), ("c", True)):
        worker.begin_transaction()
        send(worker, name, values(f"{text}1", f"{text}2"))
        worker.commit_transaction(WAIT_S) if commit else worker.abort_transaction(WAIT_S)
    groups = {
        isolation: earliest(case, isolation, share_isolation_level=isolation)
        for isolation in ("read_committed", "read_uncommitted")
    }
    for isolation, count in (("read_committed", 4), ("read_uncommitted", 6)):
        reader = ShareConsumer(case, groups[isolation], name)
        case.saw(isolation, reader.drain(count))
        case.saw("commit", reader.commit(), reader.poll())
        case.saw("offsets", offsets(case, groups[isolation]))
        reader.close()


@scenario("K56")
def open_transaction(case: Case) -> None:
    """A reader of committed records waits where a transaction is open."""
    name, group = topic(case, "t"), earliest(case, share_isolation_level="read_committed")
    send(producer(case), name, values("before"))
    worker = producer(case, {"transactional.id": case.name("id")})
    worker.init_transactions(WAIT_S)
    worker.begin_transaction()
    send(worker, name, values("open"))
    reader = ShareConsumer(case, group, name)
    case.saw("read", reader.drain(1))
    case.saw("open", reader.poll())
    worker.commit_transaction(WAIT_S)
    case.saw("committed", reader.drain(1))
    reader.close()


@scenario("K56", "K57", "K77")
def administration(case: Case) -> None:
    """Listed, described, reset, and deleted."""
    name, group = filled(case, *"abcd"), earliest(case)
    reader = ShareConsumer(case, group, name)
    case.saw("read", reader.drain(4))
    reader.commit()
    named = ("--group", group)
    code, text = run("share-groups", "--bootstrap-server", case.bootstrap, "--list")
    case.saw("listed", code, group in text.split())
    saw(case, "share-groups", "--describe", *named, "--state", "--verbose")
    lines = written(case, "share-groups", "--describe", *named, "--members", "--verbose")
    case.saw("members", [len(line.split()) for line in lines], lines[0])
    reset = ("--reset-offsets", *named, "--topic", name)
    saw(case, "share-groups", *reset, "--to-earliest", "--execute")
    saw(case, "share-groups", "--delete", *named)
    saw(case, "share-groups", "--delete-offsets", *named, "--topic", name)
    reader.close()
    saw(case, "share-groups", "--describe", *named, "--state")
    saw(case, "share-groups", "--describe", *named, "--members")
    saw(case, "share-groups", "--describe", *named, "--offsets")
    saw(case, "share-groups", *reset, "--to-earliest", "--dry-run")
    saw(case, "share-groups", *reset, "--to-earliest", "--execute")
    saw(case, "share-groups", "--describe", *named, "--offsets", "--verbose")
    again = ShareConsumer(case, group, name)
    case.saw("again", again.drain(4))
    again.close()
    saw(case, "share-groups", *reset, "--to-latest", "--execute")
    saw(case, "share-groups", "--describe", *named)
    saw(case, "share-groups", "--delete-offsets", *named, "--topic", name)
    saw(case, "share-groups", "--describe", *named)
    saw(case, "share-groups", "--delete-offsets", *named, "--topic", name)
    saw(case, "share-groups", "--delete", *named)
    saw(case, "share-groups", "--delete", *named)
    saw(case, "share-groups", "--describe", *named)
    saw(case, "consumer-groups", "--describe", *named)


@scenario("K32", "K56", "K77")
def configs_of_a_group(case: Case) -> None:
    """Set, shown, and refused."""
    group = case.name("group")
    entity = ("--entity-type", "groups", "--entity-name", group)
    saw(case, "configs", "--describe", *entity)
    saw(case, "configs", "--alter", *entity, "--add-config", "share.auto.offset.reset=by_duration:PT1H")
    saw(case, "configs", "--alter", *entity, "--add-config", "share.record.lock.duration.ms=20000")
    saw(case, "configs", "--describe", *entity)
    for wrong in (
        "share.auto.offset.reset=none",
        "share.isolation.level=dirty",
        "share.record.lock.duration.ms=999",
        "share.record.lock.duration.ms=60001",
        "share.session.timeout.ms=many",
        "no.such.config=1",
    ):
        saw(case, "configs", "--alter", *entity, "--add-config", wrong)
    saw(case, "configs", "--alter", *entity, "--delete-config", "share.record.lock.duration.ms")
    lines = written(case, "configs", "--describe", *entity, "--all")
    case.saw("all", [line for line in lines if "heartbeat" not in line])


@scenario("K56", "K50", "K55")
def names_of_groups_are_of_one_kind(case: Case) -> None:
    """A share group cannot be joined as another one, nor another one as a share group."""
    name, group = filled(case, *"abc"), earliest(case)
    reader = ShareConsumer(case, group, name)
    case.saw("share", len(reader.drain(3)))
    options = ("--topic", name, "--group", group, "--max-messages", "3", "--timeout-ms", "3000")
    saw(case, "console-consumer", *options, "--from-beginning")
    reader.close()
    other = case.name("other")
    options = ("--topic", name, "--group", other, "--max-messages", "3", "--timeout-ms", "5000")
    saw(case, "console-consumer", *options, "--from-beginning")
    reader = ShareConsumer(case, other, name)
    case.saw("other", reader.poll(1500))
    reader.close()


@scenario("K56", "K77")
def console_consumer(case: Case) -> None:
    """The console tool, which accepts, releases or rejects all that it reads."""
    name, group = filled(case, *"abc"), earliest(case)
    options = ("--topic", name, "--group", group, "--max-messages", "3", "--timeout-ms", "8000")
    shown = ("--formatter-property", "print.delivery=true", "--formatter-property", "print.offset=true")
    for how in ("--release", "--reject", ""):
        given = [*options, *shown, *filter(None, [how])]
        if not how:
            given[given.index("8000")] = "1500"
        case.saw(how or "accept", sorted(written(case, "console-share-consumer", *given)))


@scenario("K7", "K56")
def restart(case: Case) -> None:
    """Accepted, rejected and released records are so after a restart; what was held is free again."""
    name, group = filled(case, *"abcdef"), earliest(case)
    reader = ShareConsumer(case, group, name, EXPLICIT)
    case.saw("read", reader.drain(6))
    case.saw("ack", reader.ack("ACCEPT", 0, 2), reader.ack("REJECT", 3), reader.ack("RELEASE", 4))
    case.saw("commit", reader.commit())
    case.saw("offsets", offsets(case, group))

    case.broker.restart()

    case.saw("offsets", offsets(case, group))
    other = ShareConsumer(case, group, name, EXPLICIT)
    case.saw("other", other.drain(3))
    case.saw("ack", other.ack("ACCEPT", 1, 4, 5), other.commit())
    case.saw("offsets", offsets(case, group))
    reader.close()
    other.close()


@scenario("K56")
def several_partitions(case: Case) -> None:
    """All partitions of a topic, and one that grows."""
    name, group = topic(case, "t", 3), earliest(case)
    sender = producer(case)
    for partition in range(3):
        send(sender, name, [{"value": str(partition), "partition": partition}])
    reader = ShareConsumer(case, group, name)
    case.saw("read", sorted(reader.drain(3)))
    reader.commit()
    case.saw("offsets", offsets(case, group))
    run("topics", "--bootstrap-server", case.bootstrap, "--alter", "--topic", name, "--partitions", "4")
    until(lambda: reader.poll(100) == [] and len(offsets(case, group)) == 4)
    send(producer(case), name, [{"value": "3", "partition": 3}])
    case.saw("grown", reader.drain(1))
    reader.close()


@scenario("K56")
def many_records(case: Case) -> None:
    """Batches of many records, compressed, read by two members at once: each record once, none left out."""
    name, group = topic(case, "t"), earliest(case)
    for codec in ("none", "gzip", "snappy", "lz4", "zstd"):
        sender = producer(case, {"compression.codec": codec, "linger.ms": 50})
        send(sender, name, values(*(f"{codec}-{number}" for number in range(400))))
    readers = [ShareConsumer(case, group, name, "max.poll.records=100") for _ in range(2)]
    found: list[str] = []
    until(lambda: found.extend(each[2] for one in readers for each in one.poll(100)) or len(found) >= 2000)
    case.saw("read", len(found), len(set(found)))
    for each in readers:
        each.commit()
        each.close()
    case.saw("offsets", [line.split()[-1] for line in offsets(case, group)])


@scenario("K35", "K56")
def gaps(case: Case) -> None:
    """Records that were removed from the beginning are no gap, and nobody waits for them."""
    name, group = filled(case, *"abcdef"), earliest(case)
    reader = ShareConsumer(case, group, name, EXPLICIT)
    case.saw("read", reader.drain(6))
    case.saw("ack", reader.ack("ACCEPT", 5), reader.ack("RELEASE", 0, 1, 2, 3, 4), reader.commit())
    remove_before(case, name, 3)
    case.saw("again", reader.poll_some())
    case.saw("ack", reader.ack("ACCEPT", 3, 4), reader.commit())
    case.saw("offsets", offsets(case, group))
    reader.close()
