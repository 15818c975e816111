"""What Kafka's coordinators keep, read from its own topics by the formatters that come with the tools."""

from __future__ import annotations

import time
from base64 import b64decode
from typing import Any

from tests.compare_kafka.case import Case
from tests.compare_kafka.scenarios.java_console import consume, objects, produce
from tests.compare_kafka.scenarios.java_tools import missing, run, written
from tests.compare_kafka.scenarios.raw_errors import TRANSACTION, coordinated, until_ready
from tests.compare_kafka.scenarios.raw_tools import PAUSE_S, TRIES, topic
from tests.protocols.kafka.asking import Asking
from tests.transcripts.registry import scenario

__all__ = ["missing"]


def join(client: Asking, given: dict[str, Any]) -> None:
    """Have partitions take part in a transaction."""
    for _ in range(TRIES):
        answer = client.ask("AddPartitionsToTxn", 3, **given)
        (found,) = answer.results_by_topic_v3_and_below
        if all(each.partition_error_code.value == 0 for each in found.results_by_partition):
            return
        time.sleep(PAUSE_S)
    raise AssertionError(f"nobody can join: {answer}")


def formatted(case: Case, topic: str, formatter: str) -> list[dict[str, Any]]:
    """The records of one of Kafka's own topics, as a formatter that comes with the tools writes them."""
    options = ("--topic", topic, "--from-beginning", "--timeout-ms", "3000")
    whole = f"org.apache.kafka.tools.consumer.{formatter}"
    return list(objects(" ".join(written(case, "console-consumer", *options, "--formatter", whole))))


BEGINS = "share.auto.offset.reset=earliest"
VARYING = frozenset(("memberId", "leader", "producerId", "clientTransactionVersion"))
"""What is another one in each run, or is not known here."""


def plain(case: Case, value: Any) -> Any:
    """Without what varies; times as whether there is one, bytes as text."""
    if isinstance(value, list):
        return [plain(case, each) for each in value]
    if not isinstance(value, dict):
        return value
    found = {}
    for key, each in sorted(value.items()):
        if key in VARYING:
            continue
        if key.lower().endswith(("timestamp", "timestampms")):
            found[key] = each > 0
        elif key in ("assignment", "subscription"):
            found[key] = case.shorten(b64decode(each).decode("latin-1"))
        else:
            found[key] = plain(case, each)
    return found


@scenario("K38", "K51", "K77")
def groups_as_records(case: Case) -> None:
    """A classic group with its member, and when that has left."""
    name, group = case.name("t"), case.name("group")
    produce(case, name, *"ab")
    case.saw("read", consume(case, name, 1, "--from-beginning", "--group", group))
    listing = run("topics", "--bootstrap-server", case.bootstrap, "--list")[1]
    case.saw("listed", listing.count("__consumer_offsets"))
    case.saw("read", consume(case, name, 1, "--group", group))
    found = formatted(case, "__consumer_offsets", "GroupMetadataMessageFormatter")
    own = [each for each in found if each["key"]["data"]["group"] == case.shorten(group)]
    case.saw("key", own[-1]["key"])
    for label, wanted in (("with a member", True), ("without", False)):
        values = [each["value"] for each in own if bool(each["value"]["data"]["members"]) == wanted]
        case.saw(label, plain(case, values[-1]))
    run("consumer-groups", "--bootstrap-server", case.bootstrap, "--delete", "--group", group)
    found = formatted(case, "__consumer_offsets", "GroupMetadataMessageFormatter")
    own = [each for each in found if each["key"]["data"]["group"] == case.shorten(group)]
    case.saw("deleted", own[-1]["value"])


@scenario("K38", "K56", "K77")
def share_groups_as_records(case: Case) -> None:
    """How far a share group is: as a whole, and where it begins in the end."""
    name, group = case.name("t"), case.name("group")
    produce(case, name, *"abc")
    entity = ("--entity-type", "groups", "--entity-name", group)
    run("configs", "--bootstrap-server", case.bootstrap, "--alter", *entity, "--add-config", BEGINS)
    options = ("--topic", name, "--group", group, "--timeout-ms", "5000")
    case.saw("read", sorted(written(case, "console-share-consumer", *options, "--max-messages", "3")))
    listing = run("topics", "--bootstrap-server", case.bootstrap, "--list")[1]
    case.saw("listed", listing.count("__share_group_state"))
    produce(case, name, *"de")
    case.saw("read", sorted(written(case, "console-share-consumer", *options, "--max-messages", "2")))
    found = formatted(case, "__share_group_state", "group.share.ShareGroupStateMessageFormatter")
    own = [each for each in found if each["key"]["data"]["groupId"] == case.shorten(group)]
    whole = next(each for each in own if each["key"]["type"] == 0)
    case.saw("key", sorted(whole["key"]["data"]), whole["key"]["data"]["partition"])
    fields = set(whole["value"]["data"]) - {"deliveryCompleteCount"}  # Kafka does not know it at first.
    case.saw("fields", sorted(fields), whole["value"]["version"])
    case.saw("begins", begin_of(own[-1]["value"]["data"]))


def begin_of(data: dict[str, Any]) -> int:
    """The first offset that is not settled: Kafka moves its beginning with the next answer."""
    begin: int = data["startOffset"]
    for batch in data["stateBatches"]:
        if batch["firstOffset"] == begin and batch["deliveryState"] in (2, 4):
            begin = batch["lastOffset"] + 1
    return begin


@scenario("K38", "K60", "K77")
def transactions_as_records(case: Case) -> None:
    """Each state of a transactional id, read where Kafka keeps it."""
    name, known_as = case.name("t"), case.name("id")
    with Asking(case.bootstrap) as client:
        topic(client, name, 2)
        coordinated(client, known_as, TRANSACTION)
        begun = until_ready(
            client,
            "InitProducerId",
            4,
            transactional_id=known_as,
            transaction_timeout=60_000,
            producer_id=-1,
            producer_epoch=-1,
        )
        listing = run("topics", "--bootstrap-server", case.bootstrap, "--list")[1]
        case.saw("listed", listing.count("__transaction_state"))
        producer = {"producer_id": begun.producer_id, "producer_epoch": begun.producer_epoch}
        places = [{"name": name, "partitions": (0, 1)}]
        given = {"v3_and_below_transactional_id": known_as, "v3_and_below_topics": places}
        given |= {f"v3_and_below_{key}": value for key, value in producer.items()}
        join(client, given)
        until_ready(client, "EndTxn", 3, transactional_id=known_as, committed=True, **producer)
        until_ready(client, "EndTxn", 3, transactional_id=known_as, committed=True, **producer)
        found = formatted(case, "__transaction_state", "TransactionLogMessageFormatter")
        own = [each for each in found if each["key"]["data"]["transactionalId"] == case.shorten(known_as)]
        case.saw("key", own[-1]["key"])
        for each in own:
            case.saw("value", plain(case, each["value"]))
