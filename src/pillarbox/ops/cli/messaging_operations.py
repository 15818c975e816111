"""Operations on destinations and subscribers, what users of ActiveMQ look for: rows of the table, as in
`operations` (A83)."""

from __future__ import annotations

from pillarbox.ops.cli import steps
from pillarbox.ops.cli.operation import Kind, Operation, Parameter, Where, flag, option, step_argument

_DESTINATION = "/destinations/{vhost}/{kind}/{address}"
_ONLY = "Only Pillarbox knows them; a RabbitMQ answers 404."
_NUMBERS = "pending in_flight=in-flight enqueued dequeued"

MESSAGING: tuple[Operation, ...] = (
    Operation(
        "destinations",
        "list",
        "List queues and topics, as ActiveMQ tells them apart.",
        "GET",
        "/destinations/{vhost}",
        (Parameter("kind", "Only these.", where=Where.QUERY, key="kind", choices=("queue", "topic")),),
        columns=f"vhost kind name consumers {_NUMBERS}",
        path_of_all="/destinations",
        details=_ONLY,
    ),
    Operation(
        "destinations",
        "show",
        "Show all that is known of a queue or a topic, with its subscribers.",
        "GET",
        _DESTINATION,
    ),
    Operation(
        "destinations",
        "send",
        "Send a message to a queue or a topic. A queue that is missing is made.",
        "POST",
        _DESTINATION,
        (
            step_argument("payload", "The body; without it, or with -, standard input.", is_optional=True),
            option("header", "A header. May be repeated.", "headers", Kind.PAIRS),
            option("priority", "From 0 to 9.", kind=Kind.INTEGER),
            option("time-to-live", "Milliseconds until it is gone.", kind=Kind.INTEGER),
            option("correlation-id", "Of what it belongs to."),
            option("reply-to", "Where an answer is wanted."),
            option("type", "What kind of message it is."),
            flag("transient", "A restart of the broker may lose it.", "persistent", False),
        ),
        body={},
        step=steps.send_message,
        details="Exit code 1 if nobody takes the message.",
    ),
    Operation(
        "subscribers",
        "list",
        "List who is subscribed to topics, or was and will be again.",
        "GET",
        "/subscribers/{vhost}",
        columns="vhost client_id=client subscription destination selector active pending in_flight=in-flight "
        "dequeued protocol",
        path_of_all="/subscribers",
        details=_ONLY,
    ),
    Operation(
        "scheduled",
        "list",
        "List exchanges in which messages wait for their time.",
        "GET",
        "/scheduled",
        columns="vhost name waiting bytes next_due=next-due",
        details=_ONLY,
    ),
)
