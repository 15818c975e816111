"""Permissions of user `limited` (configure, write, read: ^l-.*) and virtual hosts."""

from __future__ import annotations

from tests.compare.normalise import REPLY_TO
from tests.compare.operations import (
    Operation,
    Sequence,
    bind,
    consume,
    declare,
    exchange,
    get,
    op,
    publish,
    unbind,
)
from tests.compare.written.registry import properties, transcript

LIMITED = op("l", "connect", user="limited", password="limited")


def on_l(*operations: Operation) -> list[Operation]:
    """Do these as user limited; a channel that was closed is opened again."""
    return [operation._replace(on="l1") for operation in operations]


@transcript("R92", "403")
def queue_permissions() -> Sequence:
    """declare and delete: configure; get, consume, purge: read. A passive declare needs none."""
    return [
        declare("q1"),
        publish("q1"),
        LIMITED,
        *on_l(
            declare("q1"),
            declare("q1", passive=True),
            declare("none"),
            declare("none", passive=True),
            declare("l-q"),
            declare(""),
            declare("amq.l-q"),
            get("q1"),
            consume("q1"),
            op("a1", "queue.purge", queue="q1"),
            op("a1", "queue.delete", queue="q1"),
            op("a1", "queue.delete", queue="none"),
            get("none"),
            get("l-q"),
            get("l-none"),
            consume("l-q", "c1"),
            op("a1", "queue.purge", queue="l-q"),
            op("a1", "queue.delete", queue="l-q"),
        ),
    ]


@transcript("R92", "403")
def exchange_permissions() -> Sequence:
    """declare and delete: configure; publish: write; the default exchange is called amq.default."""
    return [
        exchange("x1"),
        LIMITED,
        *on_l(
            exchange("x1"),
            exchange("x1", passive=True),
            exchange("none"),
            exchange("none", passive=True),
            exchange("l-x"),
            op("a1", "exchange.delete", exchange="x1"),
            op("a1", "exchange.delete", exchange="none"),
            op("a1", "exchange.delete", exchange="amq.direct"),
            publish("k", "x1"),
            publish("k", "none"),
            publish("k", "l-none"),
            publish("k", "amq.direct"),
            publish("k", ""),
            publish("k", "l-x", mandatory=True),
            publish("k", "", properties=properties(user_id="guest")),
            publish("k", "l-x", properties=properties(user_id="guest")),
            publish("k", "l-x", properties=properties(user_id="limited")),
            op("a1", "exchange.delete", exchange="l-x"),
        ),
    ]


@transcript("R92", "403")
def binding_permissions() -> Sequence:
    """Binding needs write on the destination and read on the source; unbinding too."""
    return [
        declare("q1"),
        exchange("x1"),
        LIMITED,
        *on_l(
            declare("l-q"),
            exchange("l-x"),
            exchange("l-y"),
            bind("l-q", "l-x", "k"),
            bind("q1", "l-x", "k"),
            bind("l-q", "x1", "k"),
            bind("l-q", "amq.direct", "k"),
            bind("none", "l-x", "k"),
            unbind("q1", "l-x", "k"),
            unbind("l-q", "x1", "k"),
            unbind("l-q", "l-x", "k"),
            op("a1", "exchange.bind", destination="l-y", source="l-x"),
            op("a1", "exchange.bind", destination="x1", source="l-x"),
            op("a1", "exchange.bind", destination="l-x", source="x1"),
            op("a1", "exchange.unbind", destination="x1", source="l-x"),
        ),
    ]


@transcript("R92", "403", "R48", "R25")
def permissions_on_named_exchanges() -> Sequence:
    """A dead-letter exchange needs write on it and read on the queue; an alternate exchange likewise."""
    return [
        LIMITED,
        *on_l(
            declare("l-d", arguments={"x-dead-letter-exchange": "amq.direct"}),
            declare("l-d", arguments={"x-dead-letter-exchange": ""}),
            declare("l-d", arguments={"x-dead-letter-exchange": "l-dlx"}),
            exchange("l-x", arguments={"alternate-exchange": "amq.direct"}),
            exchange("l-x", arguments={"alternate-exchange": "l-ae"}),
        ),
    ]


@transcript("R92", "R70")
def reply_to_needs_no_permission() -> Sequence:
    return [LIMITED, *on_l(consume(REPLY_TO, "r", no_ack=True), declare(REPLY_TO, passive=True))]


@transcript("R90")
def virtual_hosts_are_apart() -> Sequence:
    """The same names in two virtual hosts have nothing to do with each other; texts name the virtual host."""
    return [
        op("o", "connect", vhost="other"),
        declare("q1"),
        declare("q1", on="o1", durable=True, exclusive=True),
        publish("q1"),
        get("q1", on="o1"),
        publish("q1", on="o1"),
        get("q1"),
        get("q1"),
        get("q1", on="o1"),
        get("none", on="o1"),
        exchange("x1", on="o1", auto_delete=True),
        bind("q1", "x1", "k"),
        declare("q1", on="o1", exclusive=True, auto_delete=True),
        op("o1", "queue.delete", queue="q1"),
        op("o1", "exchange.delete", exchange="x1"),
        get("q1", on="o1"),
    ]
