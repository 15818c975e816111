"""Random sequences, made by hypothesis: 20 to 60 operations each, by theme.

A theme is a short prelude and a set of weighted operations on few names, so that operations meet. Fixed
seeds make the recorded sequences; any other seed makes new ones. Left out on purpose, because there
correct brokers may differ or the clock decides: several consumed queues under one channel-wide prefetch
(which queue goes first is open), times to live other than 0, deleting queues inside of transactions,
unknown exchange types and other rows of `differences`. Not left out, as they hang on what was delivered: a
tag that is used again while its last consumer has something out, and requeues under a channel's prefetch.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from tests.compare.operations import (
    Operation,
    Sequence,
    ack,
    ack_tag,
    bind,
    cancel,
    clear_policy,
    close_channel,
    close_connection,
    consume,
    declare,
    exchange,
    get,
    nack,
    op,
    publish,
    qos,
    reject,
    set_policy,
    unbind,
)

LENGTH_MIN, LENGTH_MAX = 20, 60
DRAWS = 6  # Of so many sequences of one seed the longest is taken: the first ones are near to nothing.

Draw = st.SearchStrategy[Operation]


def make(function: Any, **arguments: Any) -> Draw:
    """Return a strategy of operations: each argument is a strategy or a value; None is not given."""
    fixed = {key: value for key, value in arguments.items() if not isinstance(value, st.SearchStrategy)}
    drawn = {key: value for key, value in arguments.items() if isinstance(value, st.SearchStrategy)}
    return st.fixed_dictionaries(drawn).map(
        lambda values: function(**{key: v for key, v in {**fixed, **values}.items() if v is not None})
    )


def some(*values: Any) -> st.SearchStrategy[Any]:
    return st.sampled_from(values)


def rarely(value: Any, out_of: int = 8) -> st.SearchStrategy[Any]:
    """Return `value` once in `out_of`, else None."""
    return st.sampled_from([None] * (out_of - 1) + [value])


def weighted(*pairs: tuple[int, Draw]) -> Draw:
    return st.sampled_from([strategy for weight, strategy in pairs for _ in range(weight)]).flatmap(
        lambda s: s
    )


COUNTS = some(None, None, None, 2, 3, 7)
PERSISTENT = some(
    None, {"delivery_mode": 2}, {"delivery_mode": 1, "priority": 3}, {"content_type": "text/plain"}
)
ONE = some("a1", "a1", "a2")
TWO = some("a1", "a1", "a2", "b1")


def settling(on: st.SearchStrategy[str]) -> Draw:
    """Acks, nacks and rejects of deliveries that are there, seldom of those that are not."""
    index = some(0, 0, 0, 1, 2, -1, -2)
    several = rarely(True, 4)
    everything = {"on": on, "delivery_tag": 0, "multiple": True}
    return weighted(
        (8, make(ack, delivery=index, on=on, multiple=several)),
        (4, make(nack, delivery=index, on=on, multiple=several)),
        (1, make(nack, delivery=index, on=on, multiple=several, requeue=False)),
        (4, make(reject, delivery=index, on=on)),
        (1, make(reject, delivery=index, on=on, requeue=False)),
        (1, make(op, name="basic.ack", **everything)),
        (1, make(op, name="basic.nack", requeue=True, **everything)),
        (1, make(op, on=on, name="basic.recover", requeue=True)),
        (1, make(ack_tag, tag=some(0, 1, 77), on=on)),
    )


# --- themes -------------------------------------------------------------------------------------------

KEYS = some("a", "b", "a.b", "a.b.c", "", "b.c")
PATTERNS = some("a", "b", "#", "*", "a.*", "*.b", "a.#", "#.c", "a.*.c", "*.#", "")
EXCHANGES = some("xd", "xd", "xf", "xt", "xt", "xh", "amq.topic", "xa")
KINDS = some(
    ("xd", "direct"), ("xf", "fanout"), ("xt", "topic"), ("xh", "headers"), ("xa", "direct"), ("xa", "topic")
)
QUEUES = some("q1", "q2", "q3")
TABLES: st.SearchStrategy[dict[str, Any]] = st.builds(
    lambda match, table: {**({"x-match": match} if match else {}), **table},
    some(None, "all", "any"),
    st.dictionaries(some("k", "n", "x-y"), some("v", "w", 1, 2, True, None), max_size=2),
)
HEADERS = st.builds(
    lambda table: {"headers": table},
    st.dictionaries(some("k", "n", "x-y"), some("v", "w", 1, 2, True), max_size=3),
)
COPIES = some({"headers": {"CC": ["q2"]}}, {"headers": {"BCC": ["q1", "q3"]}})


def redeclared(on: st.SearchStrategy[str]) -> Draw:
    return st.builds(
        lambda kind, life, where: exchange(kind[0], kind[1], where, **life),
        KINDS,
        some({}, {}, {"auto_delete": True}, {"auto_delete": True}, {"durable": True}),
        on,
    )


def routing() -> tuple[Sequence, Draw]:
    """Exchanges of all types, bindings of both kinds, publishes, gets."""
    prelude = [
        *(declare(name) for name in ("q1", "q2", "q3")),
        *(exchange(f"x{kind[0]}", kind) for kind in ("direct", "fanout", "topic", "headers")),
        exchange("xa", "topic", auto_delete=True),
    ]
    between = {"on": ONE, "destination": EXCHANGES, "source": EXCHANGES, "routing_key": PATTERNS}
    doomed = some("xd", "xf", "xt", "xh", "xa", "xx")
    draw = weighted(
        (14, make(bind, queue=QUEUES, source=EXCHANGES, key=PATTERNS, on=ONE)),
        (4, make(bind, queue=QUEUES, source="xh", key=some("", "a"), arguments=TABLES, on=ONE)),
        (4, make(unbind, queue=QUEUES, source=EXCHANGES, key=PATTERNS, on=ONE)),
        (1, make(unbind, queue=QUEUES, source="xh", key=some("", "a"), arguments=TABLES, on=ONE)),
        (16, make(publish, key=KEYS, exchange=EXCHANGES, on=ONE, mandatory=rarely(True, 3))),
        (4, make(publish, key=KEYS, exchange="xh", on=ONE, properties=HEADERS)),
        (2, make(publish, key=QUEUES, on=ONE, properties=COPIES)),
        (6, make(get, queue=QUEUES, on=ONE, no_ack=True)),
        (4, make(op, name="exchange.bind", **between)),
        (2, make(op, name="exchange.unbind", **between)),
        (2, redeclared(ONE)),
        (1, make(op, on=ONE, name="exchange.delete", exchange=doomed, if_unused=rarely(True, 2))),
        (1, make(op, on=ONE, name="queue.delete", queue=QUEUES)),
        (3, make(declare, queue=QUEUES, on=ONE)),
        (2, make(op, on=ONE, name="queue.purge", queue=QUEUES)),
    )
    return prelude, draw


BY_TYPE = some(
    ("xr", "x-random"), ("xm", "x-modulus-hash"), ("xn", "x-recent-history"), ("xc", "x-consistent-hash")
)
CHAINED = some("xd", "xd", "xf", "xt", "xh", "xr", "xm", "xn", "xn", "xc")


def alternating() -> tuple[Sequence, Draw]:
    """Alternates of all exchange types, that come, go and form circles.

    To types that choose one of their bindings only one queue is bound, to a consistent hash with only one
    weight, and to a recent history no exchange (see `differences`).
    """
    sources = some("xd", "xf", "xt", "xh")
    kinds = {"xd": "direct", "xf": "fanout", "xt": "topic", "xh": "headers"}
    kept = {"headers": {"x-recent-history-no-store": True}}

    def chained(name: str, kind: str, other: str, length: int | None) -> Operation:
        table: dict[str, Any] = {"alternate-exchange": other}
        if length is not None and kind == "x-recent-history":
            table["x-recent-history-length"] = length
        return exchange(name, kind, arguments=table)

    anew = st.builds(
        lambda pair, other, length: chained(*pair, other, length),
        BY_TYPE | st.sampled_from(sorted(kinds.items())),
        CHAINED,
        some(None, 1, 2),
    )
    prelude = [
        *(declare(name) for name in ("q1", "q2", "q3")),
        chained("xd", "direct", "xt", None),
        chained("xt", "topic", "xh", None),
        chained("xh", "headers", "xn", None),
        chained("xn", "x-recent-history", "xd", 3),
        chained("xr", "x-random", "xm", None),
        chained("xm", "x-modulus-hash", "xc", None),
        chained("xc", "x-consistent-hash", "xf", None),
        exchange("xf", "fanout"),
    ]
    draw = weighted(
        (16, make(publish, key=KEYS, exchange=CHAINED, on=ONE, mandatory=rarely(True, 2))),
        (3, make(publish, key=KEYS, exchange=CHAINED, on=ONE, mandatory=True, properties=HEADERS)),
        (2, make(publish, key=KEYS, exchange=CHAINED, on=ONE, mandatory=True, properties=COPIES)),
        (1, make(publish, key=KEYS, exchange="xn", on=ONE, properties=st.just(kept))),
        (6, make(bind, queue=QUEUES, source=sources, key=PATTERNS, on=ONE)),
        (6, make(unbind, queue=QUEUES, source=sources, key=PATTERNS, on=ONE)),
        (2, make(bind, queue=QUEUES, source="xh", key="", arguments=TABLES, on=ONE)),
        (3, make(bind, queue=QUEUES, source="xn", key=some("", "a"), on=ONE)),
        (2, make(unbind, queue=QUEUES, source="xn", key=some("", "a"), on=ONE)),
        (3, make(bind, queue="q1", source=some("xr", "xm", "xc"), key="1", on=ONE)),
        (3, make(unbind, queue="q1", source=some("xr", "xm", "xc"), key="1", on=ONE)),
        (
            2,
            make(op, name="exchange.bind", on=ONE, destination=CHAINED, source=sources, routing_key=PATTERNS),
        ),
        (
            2,
            make(
                op, name="exchange.unbind", on=ONE, destination=CHAINED, source=sources, routing_key=PATTERNS
            ),
        ),
        (6, anew),
        (4, make(op, on=ONE, name="exchange.delete", exchange=CHAINED, if_unused=rarely(True, 2))),
        (1, make(op, on=ONE, name="queue.delete", queue=QUEUES)),
        (3, make(declare, queue=QUEUES, on=ONE)),
        (5, make(get, queue=QUEUES, on=ONE, no_ack=True)),
    )
    return prelude, draw


def consuming() -> tuple[Sequence, Draw]:
    """Two queues, consumers on three channels, settlements of every kind."""
    queue = some("q1", "q1", "q1", "q2")
    tag = some("c1", "c2", "c3")
    draw = weighted(
        (12, make(publish, key=queue, on=TWO, count=COUNTS, properties=PERSISTENT)),
        (7, make(consume, queue=queue, tag=tag, on=TWO, no_ack=rarely(True, 5))),
        (1, make(consume, queue=queue, tag="ce", on=TWO, exclusive=True)),
        (3, make(cancel, tag=tag, on=TWO)),
        (4, make(qos, count=some(0, 1, 2, 3, 5), on=TWO)),
        (18, settling(TWO)),
        (4, make(get, queue=queue, on=TWO, no_ack=rarely(True, 3))),
        (1, make(close_channel, on=TWO)),
        (1, make(op, on=some("a", "b"), name="disconnect")),
        (1, make(op, on=TWO, name="queue.purge", queue=queue)),
    )
    return [declare("q1"), declare("q2", durable=True)], draw


def prefetching() -> tuple[Sequence, Draw]:
    """One queue, channel-wide and per-consumer prefetch mixed."""
    tag = some("c1", "c2", "c3", "c4")
    draw = weighted(
        (12, make(publish, key="q1", on=TWO, count=COUNTS)),
        (8, make(consume, queue="q1", tag=tag, on=TWO, no_ack=rarely(True, 8))),
        (2, make(cancel, tag=tag, on=TWO)),
        (5, make(qos, count=some(0, 1, 2, 3), on=TWO, global_=rarely(True, 2))),
        (20, settling(TWO)),
        (2, make(get, queue="q1", on=TWO)),
        (1, make(close_channel, on=TWO)),
    )
    return [declare("q1")], draw


def confirming() -> tuple[Sequence, Draw]:
    """Confirms and returns of routed, unroutable, consumed, persistent, empty and large messages."""
    queue = some("q1", "q2")
    bodies = some(None, None, None, "", ["x", 5000], ["y", 131064], ["z", 131065])
    kinds = {"on": TWO, "count": COUNTS, "properties": PERSISTENT, "mandatory": rarely(True, 3)}
    draw = weighted(
        (14, make(publish, key=queue, **kinds)),
        (3, make(publish, key=queue, on=TWO, body=bodies, properties=PERSISTENT)),
        (5, make(publish, key="nobody", on=TWO, count=COUNTS, mandatory=some(None, True))),
        (1, make(publish, exchange="none", on=TWO, mandatory=some(None, True))),
        (6, make(op, on=TWO, name="confirm.select", nowait=rarely(True, 4))),
        (1, make(op, on=TWO, name=some("tx.commit", "tx.rollback"))),
        (3, make(consume, queue=queue, tag=some("c1", "c2"), on=TWO, no_ack=rarely(True, 2))),
        (2, make(cancel, tag=some("c1", "c2"), on=TWO)),
        (6, settling(TWO)),
        (4, make(get, queue=queue, on=TWO, no_ack=some(None, True))),
        (1, make(op, on=TWO, name="queue.delete", queue=queue)),
        (2, make(declare, queue=queue, on=TWO, durable=True)),
        (1, make(close_channel, on=TWO)),
    )
    return [declare("q1", durable=True), declare("q2", durable=True), op("a1", "confirm.select")], draw


def living() -> tuple[Sequence, Draw]:
    """Declarations, exclusiveness, auto-delete, names made by the server, ends of all sorts."""
    named = some("q1", "q1", "q2", "q2", "q3", "$q1", "$q2", "")
    on = some("a1", "a1", "a2", "b1", "b1", "c1")
    sources = some("amq.direct", "amq.fanout", "xa")
    life = {"durable": rarely(True, 4), "exclusive": rarely(True, 4), "auto_delete": rarely(True, 4)}
    extras = some({"x-message-ttl": 0}, {"x-expires": 100_000}, {"x-queue-type": "classic"})
    keys = some("q1", "q2", "q3", "$q1", "k")
    draw = weighted(
        (10, make(declare, queue=some("q1", "q2", "q3", ""), on=on, nowait=rarely(True, 9), **life)),
        (2, make(declare, queue=named, on=on, passive=True)),
        (1, make(declare, queue=named, on=on, arguments=extras)),
        (3, make(op, on=on, name="queue.delete", queue=named, nowait=rarely(True, 9))),
        (2, make(op, on=on, name="queue.delete", queue=named, if_unused=rarely(True, 2), if_empty=True)),
        (6, make(consume, queue=named, tag=some("c1", "c2", ""), on=on, no_ack=rarely(True, 3))),
        (2, make(consume, queue=named, tag=some("c1", "c2", ""), on=on, exclusive=True)),
        (3, make(cancel, tag=some("c1", "c2", "$c1"), on=on)),
        (5, make(bind, queue=named, source=sources, key=some("", "k"), on=on)),
        (3, make(unbind, queue=named, source=sources, key=some("", "k"), on=on)),
        (3, st.builds(lambda where: exchange("xa", "direct", where, auto_delete=True), on)),
        (8, make(publish, key=keys, exchange=some("", "amq.direct"), on=on, mandatory=rarely(True, 4))),
        (2, make(publish, key=keys, exchange=some("amq.fanout", "xa"), on=on, count=COUNTS)),
        (4, make(get, queue=named, on=on, no_ack=some(None, True))),
        (2, make(op, on=on, name="queue.purge", queue=named)),
        (3, settling(on)),
        (2, make(close_channel, on=on)),
        (2, make(close_connection, on=some("a", "b", "c"))),
        (1, make(op, on=some("a", "b", "c"), name="disconnect")),
    )
    return [declare("q1"), declare("q2", auto_delete=True), declare("", exclusive=True)], draw


def mixed() -> tuple[Sequence, Draw]:
    """All of it, with a wrong operation now and then."""
    prelude: Sequence = []
    draws = []
    for theme in (routing, consuming, confirming, living):
        first, draw = theme()
        prelude += first
        draws.append(draw)
    users = some({"user_id": "guest"}, {"user_id": "eve"})
    lives = some({"expiration": "0"}, {"expiration": "x"})
    wrong = weighted(
        (1, make(qos, count=1, on=ONE, prefetch_size=1)),
        (1, make(op, on=ONE, name="basic.recover", requeue=False)),
        (1, make(op, on=ONE, name="channel.flow", active=some(True, False))),
        (1, make(publish, key="q1", on=ONE, immediate=True)),
        (1, make(publish, key="q1", on=ONE, properties=users)),
        (1, make(publish, key="q1", on=ONE, properties=lives)),
        (1, make(op, on=some("a1", "a7"), name="channel.open")),
    )
    return prelude, weighted(*((8, draw) for draw in draws), (1, wrong))


def prioritizing() -> tuple[Sequence, Draw]:
    """Queues with priorities (R50): none, within the maximum and above it; requeues, purges, consumers."""
    queue = some("q1", "q1", "q1", "q2", "q3")
    tag = some("c1", "c2")
    level = some({}, {"priority": 0}, *({"priority": n} for n in (1, 1, 2, 3, 3, 4, 255)))
    lasting = some({"priority": 2, "delivery_mode": 2}, {"priority": 1, "delivery_mode": 1})
    draw = weighted(
        (16, make(publish, key=queue, on=TWO, count=COUNTS, properties=level)),
        (3, make(publish, key=queue, on=TWO, count=COUNTS, properties=lasting)),
        (4, make(publish, key="", exchange="amq.fanout", on=TWO, count=COUNTS, properties=level)),
        (9, make(get, queue=queue, on=TWO, no_ack=rarely(True, 3))),
        (3, make(consume, queue=queue, tag=tag, on=TWO, no_ack=rarely(True, 5))),
        (4, make(cancel, tag=tag, on=TWO)),
        (3, make(qos, count=some(1, 1, 2, 3, 5), on=TWO)),
        (18, settling(TWO)),
        (1, make(close_channel, on=TWO)),
        (1, make(op, on=some("a", "b"), name="disconnect")),
        (1, make(op, on=TWO, name="queue.purge", queue=queue)),
        (1, make(declare, queue=queue, on=TWO, passive=True)),
    )
    prelude = [
        declare("q1", arguments={"x-max-priority": 3}),
        declare("q2", durable=True, arguments={"x-max-priority": 255}),
        declare("q3"),
        *(bind(name, "amq.fanout") for name in ("q1", "q2", "q3")),
        *(qos(1, on=on) for on in ("a1", "a2", "b1")),
    ]
    return prelude, draw


def limiting() -> tuple[Sequence, Draw]:
    """Queues with limits (R46, R47) of each overflow: confirms, requeues, consumers, expiry, priorities."""
    queue = some("q1", "q1", "q2", "q3", "q4")
    tag = some("c1", "c2")
    bodies = some(None, None, "", "12345", "1234567890", "12345678901")
    kinds = some(None, {"delivery_mode": 2}, {"priority": 2}, {"priority": 5})
    draw = weighted(
        (16, make(publish, key=queue, on=TWO, properties=kinds, body=bodies)),
        (6, make(publish, key=queue, on=TWO, properties=PERSISTENT, count=COUNTS)),
        (4, make(publish, key="", exchange="amq.fanout", on=TWO, properties=PERSISTENT)),
        (7, make(get, queue=queue, on=TWO, no_ack=rarely(True, 3))),
        (3, make(consume, queue=queue, tag=tag, on=TWO, no_ack=rarely(True, 5))),
        (4, make(cancel, tag=tag, on=TWO)),
        (3, make(qos, count=some(1, 1, 2, 3), on=TWO)),
        (16, settling(TWO)),
        (2, make(op, on=TWO, name="confirm.select")),
        (1, make(close_channel, on=TWO)),
        (1, make(op, on=TWO, name="queue.purge", queue=queue)),
    )
    prelude = [
        declare("q1", durable=True, arguments={"x-max-length": 3}),
        declare("q2", durable=True, arguments={"x-max-length": 2, "x-overflow": "reject-publish"}),
        declare("q3", arguments={"x-max-length-bytes": 20, "x-max-length": 4, "x-max-priority": 4}),
        declare("q4", arguments={"x-max-length-bytes": 20, "x-overflow": "reject-publish"}),
        *(bind(name, "amq.fanout") for name in ("q1", "q2", "q3", "q4")),
        *(qos(1, on=on) for on in ("a1", "a2", "b1")),
        op("a1", "confirm.select"),
    ]
    return prelude, draw


def dying() -> tuple[Sequence, Draw]:
    """Dead letters (R48): rejections, expiry, limits and what they lead to, in a chain of queues."""
    queue = some("q1", "q1", "q2", "q3", "q4", "dead")
    tag = some("c1", "c2")
    kinds = some(None, {"delivery_mode": 2}, {"priority": 2}, {"headers": {"a": 1}})
    index = some(0, 0, 1, -1)
    draw = weighted(
        (14, make(publish, key=queue, on=TWO, properties=kinds)),
        (5, make(publish, key=queue, on=TWO, properties=PERSISTENT, count=COUNTS)),
        (2, make(publish, key="", exchange="amq.fanout", on=TWO, properties=kinds)),
        (10, make(get, queue=queue, on=TWO, no_ack=rarely(True, 4))),
        (2, make(consume, queue=queue, tag=tag, on=TWO, no_ack=rarely(True, 5))),
        (3, make(cancel, tag=tag, on=TWO)),
        (2, make(qos, count=some(1, 1, 2, 3), on=TWO)),
        (12, make(nack, delivery=index, on=TWO, multiple=rarely(True, 3), requeue=False)),
        (8, make(reject, delivery=index, on=TWO, requeue=False)),
        (5, settling(TWO)),
        (1, make(close_channel, on=TWO)),
        (1, make(op, on=TWO, name="queue.purge", queue=queue)),
    )
    letters = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "dead"}
    prelude = [
        declare("dead", durable=True, arguments={"x-max-priority": 3}),
        declare("q1", durable=True, arguments=letters),
        declare("q2", arguments={**letters, "x-max-length": 2, "x-dead-letter-routing-key": "q1"}),
        declare("q3", arguments={"x-message-ttl": 0, "x-dead-letter-exchange": "amq.fanout"}),
        declare("q4", arguments={**letters, "x-max-length": 1, "x-overflow": "reject-publish-dlx"}),
        *(bind(name, "amq.fanout") for name in ("q2", "q3")),
        *(qos(1, on=on) for on in ("a1", "a2", "b1")),
        op("a1", "confirm.select"),
    ]
    return prelude, draw


def standing_by() -> tuple[Sequence, Draw]:
    """Queues with a single active consumer (R51), one with priorities; consumer priorities too."""
    queue = some("q1", "q1", "q1", "q2")
    tag = some("c1", "c2", "c3")
    rank = some({}, {}, {"x-priority": 1}, {"x-priority": 5})
    draw = weighted(
        (14, make(publish, key=queue, on=TWO, count=COUNTS, properties=PERSISTENT)),
        (9, make(consume, queue=queue, tag=tag, on=TWO, no_ack=rarely(True, 5), arguments=rank)),
        (1, make(consume, queue=queue, tag="ce", on=TWO, exclusive=True)),
        (6, make(cancel, tag=tag, on=TWO)),
        (3, make(qos, count=some(0, 1, 2, 3), on=TWO)),
        (16, settling(TWO)),
        (4, make(get, queue=queue, on=TWO, no_ack=rarely(True, 3))),
        (2, make(close_channel, on=TWO)),
        (1, make(op, on=some("a", "b"), name="disconnect")),
        (1, make(op, on=TWO, name="queue.delete", queue=queue, if_unused=True)),
        (1, make(declare, queue=queue, on=TWO, passive=True)),
    )
    alone = {"x-single-active-consumer": True}
    prelude = [
        declare("q1", arguments=alone),
        declare("q2", durable=True, auto_delete=True, arguments={**alone, "x-max-priority": 3}),
    ]
    return prelude, draw


def transacting() -> tuple[Sequence, Draw]:
    """Transactions on two channels beside a third without: publishes, returns and answers of every kind."""
    queue = some("q1", "q1", "q1", "q2", "q3")
    commit_or_not = some("tx.commit", "tx.commit", "tx.commit", "tx.rollback")
    draw = weighted(
        (14, make(publish, key=queue, on=TWO, count=COUNTS, properties=PERSISTENT, mandatory=rarely(True))),
        (2, make(publish, key="nobody", on=TWO, mandatory=some(None, True))),
        (2, make(publish, key="", exchange="amq.fanout", on=TWO, count=COUNTS, properties=PERSISTENT)),
        (1, make(publish, exchange="none", on=TWO)),
        (14, make(op, name=commit_or_not, on=ONE)),
        (1, make(op, name=some("tx.select", "tx.select", "confirm.select"), on=TWO)),
        (20, settling(TWO)),
        (8, make(get, queue=queue, on=TWO, no_ack=rarely(True, 4))),
        (5, make(consume, queue=queue, tag=some("c1", "c2"), on=TWO, no_ack=rarely(True, 5))),
        (3, make(cancel, tag=some("c1", "c2"), on=TWO)),
        (3, make(qos, count=some(0, 1, 2, 3), on=TWO)),
        (1, make(close_channel, on=TWO)),
        (1, make(op, on=some("a", "b"), name="disconnect")),
        (1, make(op, on=TWO, name="queue.purge", queue=queue)),
    )
    prelude = [
        declare("q1", durable=True),
        declare("q2"),
        declare("q3", durable=True, arguments={"x-max-priority": 3}),
        *(bind(name, "amq.fanout") for name in ("q1", "q2", "q3")),
        *(op(on, "tx.select") for on in ("a1", "a2")),
    ]
    return prelude, draw


def committing() -> tuple[Sequence, Draw]:
    """Everything that may happen to a message in its queue, at once (R44, R46-R48, R50, R51, R62, R66).

    Times to live, priorities, limits, dead letters, requeues and single active consumers. Two channels have
    transactions, two others have consumers: where a commit both brings messages and gives a consumer credit,
    in RabbitMQ either may come first.
    """
    queue = some("q1", "q1", "q2", "q3", "q4", "dead")
    tag = some("c1", "c2")
    kinds = some(
        *(None, None, {"delivery_mode": 2}, {"priority": 2}, {"priority": 1, "delivery_mode": 2}),
        {"expiration": "0"},
    )
    end = some("tx.commit", "tx.commit", "tx.commit", "tx.rollback")
    index = some(0, 0, 1, -1)
    rank = some({}, {}, {"x-priority": 1})
    others, all_four = some("b1", "c1"), some("a1", "a1", "a2", "b1", "c1")
    draw = weighted(
        (14, make(publish, key=queue, on=TWO, properties=kinds, body=some(None, None, "1234567890"))),
        (3, make(publish, key=queue, on=TWO, properties=PERSISTENT, count=COUNTS)),
        (2, make(publish, key="", exchange="amq.fanout", on=TWO, properties=PERSISTENT)),
        (12, make(op, name=end, on=ONE)),
        (10, make(get, queue=queue, on=TWO, no_ack=rarely(True, 4))),
        (4, make(consume, queue=queue, tag=tag, on=others, no_ack=rarely(True, 5), arguments=rank)),
        (3, make(cancel, tag=tag, on=others)),
        (2, make(qos, count=some(1, 1, 2, 3), on=others)),
        (7, make(nack, delivery=index, on=all_four, multiple=rarely(True, 3), requeue=False)),
        (12, settling(all_four)),
        (2, make(close_channel, on=all_four)),
        (1, make(op, on=some("a", "b", "c"), name="disconnect")),
        (1, make(op, on=TWO, name="queue.purge", queue=queue)),
    )
    letters = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "dead"}
    alone = {"x-single-active-consumer": True}
    prelude = [
        declare("dead", durable=True, arguments={"x-max-priority": 2, "x-max-length": 4}),
        declare("q1", durable=True, arguments={**letters, **alone, "x-max-length": 3, "x-max-priority": 2}),
        declare("q2", arguments={**letters, "x-max-length": 2, "x-overflow": "reject-publish-dlx"}),
        declare("q3", arguments={**letters, "x-message-ttl": 0, "x-dead-letter-routing-key": "q1"}),
        declare("q4", durable=True, arguments={**letters, **alone, "x-max-length-bytes": 20}),
        *(bind(name, "amq.fanout") for name in ("q1", "q2", "q4")),
        *(qos(1, on=on) for on in ("b1", "c1")),
        *(op(on, "tx.select") for on in ("a1", "a2")),
    ]
    return prelude, draw


FEATURES: tuple[tuple[dict[str, Any], ...], ...] = (
    ({}, {}, {"x-message-ttl": 0}),
    ({}, {"x-max-priority": 2}, {"x-max-priority": 3}),
    ({}, {"x-max-length": 1}, {"x-max-length": 2}, {"x-max-length": 3}, {"x-max-length-bytes": 6}),
    ({}, {}, {"x-overflow": "reject-publish"}, {"x-overflow": "reject-publish-dlx"}),
    ({}, {"x-dead-letter-exchange": "amq.fanout"}, {"x-dead-letter-exchange": ""}),
    ({}, {}, {"x-single-active-consumer": True}),
)
"""Arguments of queues that a combination takes one of each from; an empty one more often than others."""


def combined(number: int) -> Sequence:
    """Three queues with arguments of several kinds each; dead letters go to queues behind or to the last.

    Not round: there the order decides in which queues push each other's messages out, which is open. And no
    dead letters to queues with priorities: of several that come at once the order is open too.
    """
    chance = Random(number)
    operations = [declare("dead", durable=True, arguments={"x-max-length": 5})]
    names = ("q1", "q2", "q3", "dead")
    for position, name in enumerate(names[:-1], 1):
        arguments: dict[str, Any] = {}
        for choices in FEATURES:
            arguments |= chance.choice(choices)
        if name != "q1":
            arguments.pop("x-max-priority", None)
        if arguments.get("x-dead-letter-exchange") == "":
            arguments["x-dead-letter-routing-key"] = chance.choice(names[position:])
        operations.append(declare(name, durable=chance.random() < 0.5, arguments=arguments))
    return [
        *operations,
        *(bind(name, "amq.fanout") for name in ("q3", "dead")),
        *(qos(1, on=on) for on in ("a1", "a2", "b1")),
        op("a1", "confirm.select"),
    ]


def combining() -> tuple[Callable[[int], Sequence], Draw]:
    """Times to live, priorities, limits, dead letters, single active consumers, requeues, all together.

    Which queue has what is drawn for each sequence. Consumers are on two channels and another one ends: what
    is given back by the end of a channel may die and go to a consumer of it, whom RabbitMQ has not ended yet.
    And nothing that expires at once has a priority (see `differences`).
    """
    queue = some("q1", "q1", "q2", "q2", "q3", "dead")
    tag = some("c1", "c2")
    kinds = some(None, {"delivery_mode": 2}, {"priority": 1}, {"priority": 2}, {"priority": 9})
    lives = some({"expiration": "0"}, {"expiration": "100000"}, {"expiration": "100000", "priority": 2})
    bodies = some(None, None, "", "1234", "1234567")
    draw = weighted(
        (12, make(publish, key=queue, on=TWO, properties=kinds, body=bodies)),
        (5, make(publish, key=queue, on=TWO, properties=kinds, count=COUNTS)),
        (3, make(publish, key=queue, on=TWO, properties=lives)),
        (2, make(publish, key="", exchange="amq.fanout", on=TWO, properties=kinds)),
        (9, make(get, queue=queue, on=TWO, no_ack=rarely(True, 4))),
        (4, make(consume, queue=queue, tag=tag, on=ONE, no_ack=rarely(True, 6))),
        (4, make(cancel, tag=tag, on=ONE)),
        (2, make(qos, count=some(1, 1, 2, 3), on=TWO)),
        (14, settling(TWO)),
        (5, make(nack, delivery=some(0, 0, 1, -1), on=TWO, multiple=rarely(True, 3), requeue=False)),
        (1, make(close_channel, on="b1")),
        (1, make(op, on="b", name="disconnect")),
        (1, make(op, on=TWO, name="queue.purge", queue=queue)),
        (1, make(op, on=TWO, name="confirm.select")),
    )
    return combined, draw


def governing() -> tuple[Sequence, Draw]:
    """Policies and operators' policies (R95, R96) that come and go while queues of all kinds are used.

    No policy says how a full queue refuses: see the transcript `policy_brings_limit_and_refusal_at_once`. No
    two have the same priority, as it is open which of them counts.
    """
    queue = some("q1", "q1", "q2", "q3", "dead")
    tag = some("c1", "c2")
    letters = {"dead-letter-exchange": "", "dead-letter-routing-key": "dead"}
    definitions = some(
        *({"max-length": 1}, {"max-length": 3}, {"max-length": 2}, {"max-length-bytes": 8}),
        *(letters, {"max-length": 2, **letters}, {"alternate-exchange": "amq.fanout"}),
    )
    of_operators = some({"max-length": 2}, {"max-length": 4}, {"max-length-bytes": 9})
    names, patterns = some("p1", "p2"), some("^q1$", "^q", "^q[23]", ".*")
    operators = {"kind": "operator-policies", "name": "o1"}
    draw = weighted(
        (16, make(publish, key=queue, on=TWO, count=COUNTS, properties=PERSISTENT)),
        (2, make(publish, key="nobody", exchange="amq.direct", on=TWO, mandatory=True)),
        (9, make(get, queue=queue, on=TWO, no_ack=rarely(True, 3))),
        (3, make(consume, queue=queue, tag=tag, on=TWO, no_ack=rarely(True, 5))),
        (4, make(cancel, tag=tag, on=TWO)),
        (2, make(qos, count=some(1, 1, 2, 3), on=TWO)),
        (16, settling(TWO)),
        (5, make(set_policy, definition=definitions, name="p1", pattern=patterns, priority=some(0, 2))),
        (4, make(set_policy, definition=definitions, name="p2", pattern=patterns, priority=some(1, 3))),
        (4, make(clear_policy, name=names)),
        (3, make(set_policy, definition=of_operators, pattern=patterns, apply_to="queues", **operators)),
        (2, make(clear_policy, **operators)),
        (1, make(close_channel, on=TWO)),
        (1, make(op, on=TWO, name="queue.purge", queue=queue)),
    )
    prelude = [
        declare("dead"),
        declare("q1", durable=True),
        declare("q2", arguments={"x-max-length": 3, "x-dead-letter-exchange": "amq.fanout"}),
        declare("q3", arguments={"x-max-priority": 3, "x-overflow": "reject-publish"}),
        bind("dead", "amq.fanout"),
        *(qos(1, on=on) for on in ("a1", "a2", "b1")),
        op("a1", "confirm.select"),
    ]
    return prelude, draw


def streaming() -> tuple[Sequence, Draw]:
    """Streams (R80, R81) with readers that come and go, beside a queue, under policies that do (R95).

    The prefetch is never used up: RabbitMQ 3.10 hands out the rest of a chunk beyond it, and what is a chunk
    is decided by its timing. A channel has one reader, as the order between several is open. Publishes have a
    connection of their own, which nothing closes: their confirms tell that readers can have them.
    """
    queue = some("s1", "s1", "s2")
    offsets = st.builds(lambda offset: {"x-stream-offset": offset}, some("first", "next", 0, 1, 5))
    definitions = some(
        *({"max-length": 1}, {"message-ttl": 0, "dead-letter-exchange": ""}, {"max-age": "1h"}),
        *({"max-length-bytes": 1_000_000}, {"max-length": 1, "overflow": "reject-publish"}),
    )
    draw = weighted(
        (18, make(publish, key=queue, on="d1", count=COUNTS, properties=PERSISTENT)),
        (2, make(publish, key="", exchange="amq.fanout", on="d1", properties=PERSISTENT)),
        (3, make(get, queue="q1", on=TWO, no_ack=True)),
        (6, make(consume, queue=queue, tag="c1", on=TWO, arguments=offsets)),
        (6, make(cancel, tag="c1", on=TWO)),
        (12, make(ack, delivery=some(0, 0, 1, -1), on=TWO, multiple=rarely(True, 3))),
        (6, make(set_policy, definition=definitions, name=some("p1", "p2"), pattern=some("^s", "s1", "s2"))),
        (3, make(clear_policy, name=some("p1", "p2"))),
        (1, make(close_channel, on=some("a2", "b1"))),
        (1, make(op, on="b", name="disconnect")),
    )
    kept = {"x-queue-type": "stream"}
    prelude = [
        op("d1", "confirm.select"),
        declare("q1"),
        *(declare(name, durable=True, arguments=kept) for name in ("s1", "s2")),
        *(bind(name, "amq.fanout") for name in ("q1", "s1", "s2")),
        *(qos(1000, on=on) for on in ("a1", "a2", "b1")),
    ]
    return prelude, draw


THEMES: dict[str, Callable[[], tuple[Sequence | Callable[[int], Sequence], Draw]]] = {
    theme.__name__: theme
    for theme in (
        *(routing, consuming, prefetching, confirming, living, mixed, prioritizing, alternating),
        *(limiting, dying, standing_by, transacting, committing, combining),
        *(governing, streaming),
    )
}


def generate(theme: str, count: int, first: int) -> list[Sequence]:
    """Return `count` sequences of a theme, of the seeds `first` and following.

    The same for the same seeds and the same release of hypothesis.
    """
    prelude, draw = THEMES[theme]()
    strategy = st.lists(draw, min_size=LENGTH_MIN, max_size=LENGTH_MAX)
    return [
        [*(prelude(number) if callable(prelude) else prelude), *longest(strategy, number)]
        for number in range(first, first + count)
    ]


def longest(strategy: st.SearchStrategy[Sequence], number: int) -> Sequence:
    found: list[Sequence] = []

    @seed(number)
    @settings(
        max_examples=DRAWS,
        phases=[Phase.generate],
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def collect(sequence: Sequence) -> None:
        found.append(sequence)

    collect()
    return max(found, key=len)
