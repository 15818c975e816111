"""Operations on Kafka's side of a broker: rows of the table, as in `operations`."""

from __future__ import annotations

from pillarbox.ops.cli import steps
from pillarbox.ops.cli.operation import Kind, Operation, Parameter, Where, argument, option, step_option

_TOPIC = "/kafka/topics/{topic}"
_GROUP = "/kafka/groups/{group}"
_ONLY = "A RabbitMQ, and a Pillarbox without a Kafka port, answer 404."
_CONFIG = option("config", "A config, such as retention.ms=60000. May be repeated.", "config", Kind.PAIRS)

TOPICS = (
    Operation(
        "topics",
        "list",
        "List Kafka's topics.",
        "GET",
        "/kafka/topics",
        columns="name partitions messages size=bytes messages_in_details.rate=in/s "
        "bytes_in_details.rate=bytes-in/s bytes_out_details.rate=bytes-out/s",
        details=_ONLY,
    ),
    Operation("topics", "show", "Show all that is known of a topic.", "GET", _TOPIC),
    Operation(
        "topics",
        "create",
        "Make a topic.",
        "PUT",
        _TOPIC,
        (option("partitions", "How many; otherwise as many as is usual.", kind=Kind.INTEGER), _CONFIG),
        body={},
        done="topic {topic} is there",
    ),
    Operation(
        "topics",
        "configure",
        "Alter configs of a topic.",
        "PUT",
        f"{_TOPIC}/config",
        (
            step_option("config", _CONFIG.help, Kind.PAIRS),
            step_option("default", "Configs that go back to what is usual, with commas between them."),
        ),
        step=steps.configure_topic,
        done="topic {topic} is altered",
    ),
    Operation(
        "topics",
        "grow",
        "Let a topic have more partitions.",
        "PUT",
        f"{_TOPIC}/partitions",
        (argument("partitions", "How many it has then.", kind=Kind.INTEGER),),
        done="topic {topic} has {partitions} partitions",
    ),
    Operation(
        "topics",
        "delete",
        "Delete a topic and its records.",
        "DELETE",
        _TOPIC,
        done="topic {topic} is deleted",
    ),
    Operation(
        "topics",
        "partitions",
        "List the partitions of a topic.",
        "GET",
        f"{_TOPIC}/partitions",
        columns="partition leader_epoch=epoch start_offset=start end_offset=end last_stable_offset=stable "
        "size=bytes producers open_transactions=open",
    ),
    Operation(
        "topics",
        "records",
        "Look at some records of a partition, the last ones unless told otherwise.",
        "GET",
        f"{_TOPIC}/partitions/{{partition}}/records",
        (
            Parameter("offset", "The first to show.", Kind.INTEGER, Where.QUERY, "offset"),
            Parameter("count", "How many.", Kind.INTEGER, Where.QUERY, "count"),
            Parameter(
                "encoding",
                "How keys and values are shown; text where it is text unless said.",
                Kind.TEXT,
                Where.QUERY,
                "encoding",
                choices=("auto", "hex", "base64"),
            ),
        ),
        columns="offset timestamp key value",
    ),
)

GROUPS = (
    Operation(
        "groups",
        "list",
        "List groups of Kafka's consumers, and how far they are behind.",
        "GET",
        "/kafka/groups",
        columns="name type state members topics partitions lag committed_details.rate=read/s",
        details=_ONLY,
    ),
    Operation("groups", "show", "Show all that is known of a group.", "GET", _GROUP),
    Operation(
        "groups",
        "offsets",
        "List how far a group is in each partition.",
        "GET",
        f"{_GROUP}/offsets",
        columns="topic partition committed_offset=committed end_offset=end lag client_id=client host",
    ),
    Operation(
        "groups",
        "explain",
        "Say why a group is as it is, and what it waits for.",
        "GET",
        f"{_GROUP}/explain",
        step=steps.explain,
    ),
    Operation(
        "groups",
        "reset",
        "Have a group in which nobody is go on elsewhere.",
        "PUT",
        f"{_GROUP}/offsets",
        (
            argument("topic", "The topic whose offsets are set."),
            argument("to", "earliest, latest, offset, shift (by --offset) or time."),
            option("offset", "For offset and shift; a shift may be negative.", kind=Kind.INTEGER),
            option("timestamp", "For time: milliseconds since 1970.", kind=Kind.INTEGER),
            step_option("partitions", "Only these, with commas between them."),
        ),
        columns="topic partition committed_offset=committed end_offset=end lag",
        step=steps.reset_offsets,
    ),
    Operation(
        "groups",
        "delete",
        "Forget a group in which nobody is.",
        "DELETE",
        _GROUP,
        done="group {group} is gone",
    ),
)

KAFKA = (*TOPICS, *GROUPS)
