"""Every error that a correct client can meet: code, text, culprit, and what it closes."""

from __future__ import annotations

from tests.compare.normalise import REPLY_TO
from tests.compare.operations import (
    Sequence,
    ack,
    ack_tag,
    bind,
    cancel,
    consume,
    declare,
    exchange,
    get,
    op,
    publish,
    qos,
    unbind,
)
from tests.compare.written.registry import properties, transcript


@transcript("404", "R41")
def missing_queue() -> Sequence:
    """Passive declare, get, consume, purge and bind of a missing queue: 404 on the channel."""
    return [
        declare("none", passive=True),
        get("none"),
        consume("none"),
        op("a1", "queue.purge", queue="none"),
        bind("none", "amq.direct", "k"),
        publish("none"),
        publish("none", mandatory=True),
    ]


@transcript("404")
def missing_exchange() -> Sequence:
    """Publish, bind and passive declare of a missing exchange: 404; the exchange is named first."""
    return [
        declare("q1"),
        publish("k", "none"),
        publish("k", "none", mandatory=True),
        bind("q1", "none", "k"),
        bind("nobody", "none", "k"),
        exchange("none", passive=True),
        exchange("none", "no-such-type", passive=True),
        exchange("x1"),
        op("a1", "exchange.bind", destination="x1", source="none"),
        op("a1", "exchange.bind", destination="none", source="x1"),
        op("a1", "exchange.bind", destination="none", source="nobody"),
    ]


@transcript("404", "R56")
def missing_is_no_error() -> Sequence:
    """Deleting and unbinding what is not there succeeds; so does cancelling an unknown consumer."""
    return [
        op("a1", "queue.delete", queue="none"),
        op("a1", "queue.delete", queue="none", if_unused=True, if_empty=True),
        op("a1", "exchange.delete", exchange="none"),
        op("a1", "exchange.delete", exchange="none", if_unused=True),
        declare("q1"),
        unbind("q1", "amq.direct", "k"),
        unbind("none", "amq.direct", "k"),
        unbind("q1", "none", "k"),
        unbind("none", "none", "k"),
        exchange("x1"),
        op("a1", "exchange.unbind", destination="x1", source="amq.direct", routing_key="k"),
        op("a1", "exchange.unbind", destination="none", source="x1"),
        op("a1", "exchange.unbind", destination="none", source="nobody"),
        cancel("nobody"),
    ]


@transcript("404", "R41")
def empty_queue_name_with_nothing_declared() -> Sequence:
    """An empty queue name means the last declared queue; without one: 404."""
    return [
        get(""),
        consume(""),
        op("a1", "queue.purge", queue=""),
        op("a1", "queue.delete", queue=""),
        bind("", "amq.direct", "k"),
        unbind("", "amq.direct", "k"),
        declare("", passive=True),
        declare("q1"),
        declare("", passive=True),
        get("", on="a2"),
    ]


@transcript("404", "R61")
def missing_exchange_with_confirms() -> Sequence:
    """A publish to a missing exchange closes the channel, with confirms too."""
    return [
        op("a1", "confirm.select"),
        declare("q1"),
        publish("q1"),
        publish("q1", "none"),
        op("a1", "confirm.select"),
        publish("q1"),
    ]


@transcript("403", "R20")
def default_exchange_is_not_touched() -> Sequence:
    """Declare, delete, bind and unbind of the default exchange: 403."""
    return [
        exchange(""),
        exchange("", passive=True),
        op("a1", "exchange.delete", exchange=""),
        declare("q1"),
        bind("q1", "", "k"),
        bind("q1", "", "q1"),
        unbind("q1", "", "q1"),
        op("a1", "exchange.bind", destination="amq.direct", source=""),
        op("a1", "exchange.bind", destination="", source="amq.direct"),
        op("a1", "exchange.unbind", destination="", source="amq.direct"),
        op("a1", "exchange.unbind", destination="amq.direct", source=""),
        publish("q1"),
        get("q1"),
    ]


@transcript("403", "R21")
def reserved_names() -> Sequence:
    """Names with amq. cannot be made or deleted; those that are there may be declared alike."""
    return [
        exchange("amq.mine"),
        declare("amq.mine"),
        declare("amq.gen-mine"),
        declare("amq.mine", passive=True),
        exchange("amq.direct", "direct", durable=True),
        exchange("amq.match", "headers", durable=True),
        exchange("amq.headers", "headers", durable=True),
        exchange("amq.topic", "topic", durable=True),
        exchange("amq.fanout", "fanout", durable=True),
        exchange("amq.rabbitmq.trace", "topic", durable=True, internal=True),
        exchange("amq.direct", "fanout", durable=True),
        exchange("amq.direct", "direct"),
        op("a1", "exchange.delete", exchange="amq.direct"),
        op("a1", "exchange.delete", exchange="amq.direct", if_unused=True),
        op("a1", "exchange.delete", exchange="amq.none"),
        exchange("amqp"),
        exchange("amq"),
    ]


@transcript("403")
def internal_exchange() -> Sequence:
    """No client may publish to an internal exchange; messages reach it through another exchange."""
    return [
        exchange("xi", "fanout", internal=True),
        publish("k", "xi"),
        exchange("xi", "fanout", internal=True),
        exchange("xi", "fanout"),
        declare("q1"),
        bind("q1", "xi"),
        exchange("xo", "fanout"),
        op("a1", "exchange.bind", destination="xi", source="xo"),
        publish("k", "xo"),
        get("q1"),
        publish("k", "amq.rabbitmq.trace"),
    ]


@transcript("403", "R63")
def exclusive_consumer() -> Sequence:
    """An exclusive consumer shuts others out, and does not come in where another is; basic.get may."""
    return [
        declare("q1"),
        consume("q1", "c1"),
        consume("q1", "c2", on="b1", exclusive=True),
        consume("q1", "c2", exclusive=True),
        consume("q1", "c1", exclusive=True),
        consume("q1", "c2"),
        consume("q1", "c1", exclusive=True),
        consume("q1", "c2", on="b1"),
        consume("q1", "c2", on="b1", exclusive=True),
        get("q1", on="b1"),
        cancel("c1"),
        consume("q1", "c2", on="b1"),
    ]


@transcript("405", "R40")
def exclusive_queue_of_another_connection() -> Sequence:
    """Everything but publish and unbind is 405 on a queue that another connection holds."""
    return [
        declare("q1", exclusive=True),
        declare("q1", on="b1"),
        declare("q1", on="b1", exclusive=True),
        declare("q1", on="b1", passive=True),
        get("q1", on="b1"),
        consume("q1", on="b1"),
        bind("q1", "amq.direct", "k", on="b1"),
        bind("q1", "none", "k", on="b1"),
        unbind("q1", "amq.direct", "k", on="b1"),
        op("b1", "queue.purge", queue="q1"),
        op("b1", "queue.delete", queue="q1"),
        publish("q1", on="b1"),
        get("q1"),
        declare("q1", exclusive=True, on="a2"),
        declare("q1"),
        declare("q1", durable=True),
        declare("q1", passive=True),
    ]


@transcript("405", "406", "R40")
def exclusive_mismatch_on_own_connection() -> Sequence:
    """A wrong `exclusive` is 405 and found before any other inequality."""
    return [
        declare("q1"),
        declare("q1", exclusive=True),
        declare("q1", exclusive=True, durable=True, auto_delete=True),
        declare("q2", exclusive=True),
        declare("q2", exclusive=True, durable=True),
        declare("q2", exclusive=True, auto_delete=True),
        declare("q2", exclusive=True, arguments={"x-expires": 60000}),
    ]


@transcript("406", "T9", "R40")
def inequivalent_queue() -> Sequence:
    """A redeclare that differs: 406 naming the first difference: durable, auto_delete, arguments."""
    return [
        declare("q1"),
        declare("q1"),
        declare("q1", durable=True),
        declare("q1", auto_delete=True),
        declare("q1", durable=True, auto_delete=True),
        declare("q1", arguments={"x-message-ttl": 5}),
        declare("q1", arguments={"x-queue-type": "classic"}),
        declare("q1", arguments={"x-queue-type": "quorum"}),
        declare("q1", arguments={"my-own": 1}),
        declare("q2", durable=True),
        declare("q2"),
        declare("q2", durable=True, arguments={"x-max-length": 10}),
        declare("q3", auto_delete=True),
        declare("q3"),
        declare("q3", auto_delete=True),
        declare("q3", passive=True, durable=True),
    ]


@transcript("406", "T9")
def inequivalent_arguments() -> Sequence:
    """Numbers of any width are equal by value; text and presence are told in the refusal."""
    return [
        declare("q1", arguments={"x-message-ttl": 60000}),
        declare("q1", arguments={"x-message-ttl": 60000}),
        declare("q1", arguments={"x-message-ttl": 60001}),
        declare("q1", arguments={"x-message-ttl": 5}),
        declare("q1", arguments={"x-message-ttl": "60000"}),
        declare("q1"),
        declare("q1", arguments={"x-message-ttl": 60000, "x-expires": 90000}),
        declare("q1", arguments={"x-message-ttl": 60000, "mine": "x"}),
        declare("q2", arguments={"x-dead-letter-exchange": "dlx", "x-dead-letter-routing-key": "a"}),
        declare("q2", arguments={"x-dead-letter-exchange": "other", "x-dead-letter-routing-key": "a"}),
        declare("q2", arguments={"x-dead-letter-exchange": "dlx", "x-dead-letter-routing-key": "b"}),
        declare("q2", arguments={"x-dead-letter-exchange": "dlx"}),
        declare("q3", arguments={"x-max-length": 10, "x-overflow": "reject-publish"}),
        declare("q3", arguments={"x-max-length": 10, "x-overflow": "drop-head"}),
        declare("q3", arguments={"x-max-length": 10}),
        declare("q3", arguments={"x-overflow": "reject-publish", "x-max-length": 10}),
        declare("q4", arguments={"x-max-priority": 5}),
        declare("q4", arguments={"x-max-priority": 6}),
        declare("q4"),
        declare("q5", arguments={"x-single-active-consumer": True}),
        declare("q5"),
        declare("q5", arguments={"x-single-active-consumer": False}),
        declare("q6", arguments={"x-max-length-bytes": 1000}),
        declare("q6", arguments={"x-max-length-bytes": 2000}),
    ]


@transcript("406", "T9", "R23")
def inequivalent_exchange() -> Sequence:
    """Type, durable, auto_delete, internal and alternate-exchange count; other arguments do not."""
    return [
        exchange("x1"),
        exchange("x1"),
        exchange("x1", "fanout"),
        exchange("x1", durable=True),
        exchange("x1", auto_delete=True),
        exchange("x1", internal=True),
        exchange("x1", "topic", durable=True),
        exchange("x1", arguments={"alternate-exchange": "amq.fanout"}),
        exchange("x1", arguments={"mine": 1}),
        exchange("x1", "fanout", passive=True),
        exchange("x2", "topic", durable=True, arguments={"alternate-exchange": "amq.fanout"}),
        exchange("x2", "topic", durable=True),
        exchange("x2", "topic", durable=True, arguments={"alternate-exchange": "amq.direct"}),
        exchange("x3", arguments={"alternate-exchange": 5}),
    ]


@transcript("406", "R44", "R45", "R46", "R47", "R50", "R55")
def queue_arguments_refused() -> Sequence:
    """Wrong types and values of queue arguments, each with RabbitMQ's words."""
    wrong = {
        "x-message-ttl": (-1, "a", 1.5, True, None, 315360000001),
        "x-expires": (0, -5, "q", 315360000001),
        "x-max-length": (-1, "x", 1.0),
        "x-max-length-bytes": (-1, "x"),
        "x-overflow": ("nope", 5),
        "x-dead-letter-exchange": (5,),
        "x-dead-letter-routing-key": ("k", 5),
        "x-max-priority": (256, -1, "a"),
        "x-queue-mode": ("foo", 1),
        "x-queue-type": (5,),
        "x-single-active-consumer": ("x",),
        "x-queue-version": (3,),
    }
    return [declare("q1", arguments={key: value}) for key, values in wrong.items() for value in values]


@transcript("R44", "R45", "R46", "R47", "R50", "R55")
def queue_arguments_accepted() -> Sequence:
    """Arguments that are fine, unknown ones included."""
    fine = (
        {"x-message-ttl": 0},
        {"x-message-ttl": 315360000000},
        {"x-expires": 1_000_000},
        {"x-max-length": 0},
        {"x-max-length-bytes": 5},
        {"x-max-priority": 0},
        {"x-max-priority": 255},
        {"x-overflow": "drop-head"},
        {"x-overflow": "reject-publish-dlx"},
        {"x-queue-mode": "lazy"},
        {"x-queue-mode": "default"},
        {"x-queue-type": "classic"},
        {"x-queue-version": 1},
        {"x-queue-version": 2},
        {"x-single-active-consumer": True},
        {"x-dead-letter-exchange": ""},
        {"mine": "x", "x-mine": [1, {"a": None}]},
    )
    return [declare(f"q{number}", arguments=arguments) for number, arguments in enumerate(fine)]


@transcript("406", "R56")
def delete_with_conditions() -> Sequence:
    """if-unused and if-empty: 406; unacknowledged messages do not count as there."""
    return [
        declare("q1"),
        consume("q1", "c1"),
        op("a2", "queue.delete", queue="q1", if_unused=True),
        publish("q1"),
        op("a2", "queue.delete", queue="q1", if_unused=True, if_empty=True),
        qos(1, on="b1"),
        cancel("c1"),
        publish("q1"),
        op("a2", "queue.delete", queue="q1", if_empty=True),
        op("a2", "queue.delete", queue="q1", if_unused=True, if_empty=True),
        get("q1", on="b1"),
        op("a2", "queue.delete", queue="q1", if_unused=True, if_empty=True),
        exchange("x1"),
        declare("q2"),
        bind("q2", "x1", "k"),
        op("a1", "exchange.delete", exchange="x1", if_unused=True),
        unbind("q2", "x1", "k"),
        op("a1", "exchange.delete", exchange="x1", if_unused=True),
        publish("q2", count=3),
        op("a1", "queue.delete", queue="q2"),
    ]


@transcript("406", "R66")
def unknown_delivery_tags() -> Sequence:
    """ack, nack, reject of a tag that is not out: 406 with the tag; nothing else is settled by it."""
    return [
        declare("q1"),
        *(op("a1", f"basic.{name}", delivery_tag=7) for name in ("ack", "nack", "reject")),
        *(op("a1", f"basic.{name}", delivery_tag=0) for name in ("ack", "nack", "reject")),
        *(op("a1", f"basic.{name}", delivery_tag=7, multiple=True) for name in ("ack", "nack")),
        *(op("a1", f"basic.{name}", delivery_tag=0, multiple=True) for name in ("ack", "nack")),
        publish("q1", count=3),
        get("q1"),
        get("q1"),
        ack_tag(1),
        ack_tag(1),
        get("q1"),
        ack_tag(5, multiple=True),
        get("q1"),
        get("q1", on="a2"),
        ack_tag(2, on="a2"),
        get("q1", no_ack=True),
        ack_tag(2),
    ]


@transcript("406", "R61")
def confirm_and_transactions_exclude_each_other() -> Sequence:
    """tx.select after confirm.select and the reverse: 406; commit or rollback without select: 406."""
    return [
        op("a1", "confirm.select"),
        op("a1", "confirm.select"),
        op("a1", "tx.select"),
        op("a1", "tx.select"),
        op("a1", "tx.select"),
        op("a1", "confirm.select"),
        op("a1", "tx.commit"),
        op("a1", "tx.rollback"),
    ]


@transcript("406", "R60")
def user_id_is_checked() -> Sequence:
    """The property user-id must be the user's name."""
    return [
        declare("q1"),
        publish("q1", properties=properties(user_id="guest")),
        get("q1", no_ack=True),
        publish("q1", properties=properties(user_id="eve")),
        publish("q1", properties=properties(user_id="")),
        publish("none", "none", properties=properties(user_id="eve")),
    ]


@transcript("406", "R44")
def expiration_is_checked() -> Sequence:
    """The property expiration must be a number of milliseconds."""
    values = (
        "abc",
        "-1",
        "",
        "1.5",
        "315360000001",
        "315360000000",
        "100000",
        "+100000",
        " 5",
        "5 ",
        "1e3",
        "0x10",
    )
    return [declare("q1"), *(publish("q1", properties=properties(expiration=value)) for value in values)]


@transcript("406", "R26")
def sender_selected_keys_are_checked() -> Sequence:
    """CC and BCC must be arrays; what is no text in them is skipped."""
    return [
        declare("q1"),
        declare("q2"),
        *(
            publish("q1", properties=properties(headers={key: value}))
            for key in ("CC", "BCC")
            for value in ("q2", 5, {"a": 1}, None, True, [5, "q2"], [], ["q2", "q1", "none"])
        ),
        *(get(queue, no_ack=True) for queue in ("q1", "q2") for _ in range(6)),
    ]


@transcript("406", "R70")
def direct_reply_to_misuse() -> Sequence:
    """Reply consumers: no_ack only, one per channel, and there before a request asks for replies."""
    return [
        declare("q1"),
        consume(REPLY_TO, "r"),
        publish("q1", properties=properties(reply_to=REPLY_TO)),
        consume(REPLY_TO, "r", no_ack=True),
        consume(REPLY_TO, "r2", no_ack=True),
        get(REPLY_TO),
        op("a1", "queue.purge", queue=REPLY_TO),
        op("a1", "queue.delete", queue=REPLY_TO),
        bind(REPLY_TO, "amq.direct", "k"),
        consume(REPLY_TO, "r", no_ack=True, on="a1"),
        cancel("r"),
        consume(REPLY_TO, "r2", no_ack=True),
        publish(REPLY_TO, mandatory=True, on="a2"),
        publish(f"{REPLY_TO}.nobody", mandatory=True, on="a2"),
    ]


@transcript("540")
def immediate() -> Sequence:
    """immediate: connection 540, before the exchange is looked at."""
    return [publish("q1", immediate=True), publish("q1", "none", immediate=True, mandatory=True)]


@transcript("540", "R65")
def prefetch_size() -> Sequence:
    """A prefetch window in bytes: connection 540."""
    return [qos(1, prefetch_size=1), qos(0, prefetch_size=4294967295, global_=True)]


@transcript("540", "R68")
def recover_without_requeue() -> Sequence:
    """basic.recover and recover-async with requeue=false: connection 540."""
    return [
        op("a1", "basic.recover", requeue=False),
        op("a1", "basic.recover-async", requeue=False),
        op("a1", "basic.recover", requeue=True),
        op("a1", "basic.recover-async", requeue=True),
    ]


@transcript("540", "R72")
def flow() -> Sequence:
    """channel.flow(true) is answered, channel.flow(false) closes the connection with 540."""
    return [op("a1", "channel.flow", active=True), op("a1", "channel.flow", active=False)]


@transcript("530", "R63")
def consumer_tag_twice() -> Sequence:
    """A consumer tag in use on the same channel: connection 530; on another channel it is free."""
    return [
        declare("q1"),
        consume("q1", "c1"),
        consume("q1", "c1", on="a2"),
        consume("none", "c1", on="a2"),
        consume("q1", "c1"),
        consume("q1", "c1"),
        cancel("c1"),
        consume("q1", "c1"),
    ]


@transcript("406", "R63", "R69")
def consume_arguments() -> Sequence:
    """Arguments of basic.consume: wrong types 406, unknown ones ignored."""
    return [
        declare("q1"),
        *(
            consume("q1", f"c{number}", arguments=arguments)
            for number, arguments in enumerate(
                (
                    {"x-priority": "a"},
                    {"x-priority": 1.5},
                    {"x-priority": -3},
                    {"x-priority": 100000},
                    {"mine": "a", "x-mine": 1},
                    {"x-cancel-on-ha-failover": 5},
                    {"x-cancel-on-ha-failover": True},
                    {"x-stream-offset": "first"},
                )
            )
        ),
    ]


@transcript("R30", "503")
def unknown_exchange_type() -> Sequence:
    """An exchange type that does not exist."""
    return [exchange("x1", "no-such-type")]


@transcript("404", "403", "406")
def channel_after_an_error() -> Sequence:
    """After a soft error the number is free again at once, its consumers and unsettled messages are gone."""
    return [
        declare("q1"),
        consume("q1", "c1"),
        publish("q1", count=2, on="a2"),
        declare("none", passive=True),
        consume("q1", "c1"),
        ack(0),
        ack(0),
        ack_tag(9),
        get("q1"),
    ]
