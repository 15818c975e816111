"""Alternate exchanges in depth, and the exchange types that RabbitMQ has as plugins.

Where a type leaves the choice to chance or to a hash, one destination is bound, or several bindings of one.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from tests.compare.operations import (
    Operation,
    Sequence,
    ack,
    bind,
    consume,
    declare,
    exchange,
    get,
    op,
    publish,
    unbind,
)
from tests.compare.written.exchanges import drain
from tests.compare.written.registry import properties, transcript
from tests.compare.written.security import LIMITED, on_l

HASH, MODULUS, RANDOM, HISTORY = "x-consistent-hash", "x-modulus-hash", "x-random", "x-recent-history"
SOME_TIME = datetime.fromtimestamp(1_700_000_000, UTC)
LENGTH = "x-recent-history-length"
NO_STORE = "x-recent-history-no-store"


def alternate(name: str, other: str, kind: str = "direct", **args: Any) -> Operation:
    """Declare an exchange with an alternate."""
    return exchange(name, kind, arguments={"alternate-exchange": other}, **args)


def link(source: str, destination: str, key: str = "", **args: Any) -> Operation:
    return op("a1", "exchange.bind", source=source, destination=destination, routing_key=key, **args)


def unlink(source: str, destination: str, key: str = "") -> Operation:
    return op("a1", "exchange.unbind", source=source, destination=destination, routing_key=key)


def asked(key: str, source: str, **args: Any) -> Operation:
    return publish(key, source, mandatory=True, **args)


def with_headers(**table: Any) -> str:
    return properties(headers=table)


# --- alternate exchanges --------------------------------------------------------------------------------


@transcript("R25")
def alternates_come_and_go() -> Sequence:
    """The name counts, not the exchange that once had it; its bindings and its end show at once."""
    return [
        alternate("x1", "xa"),
        declare("q1"),
        declare("q2"),
        asked("k", "x1"),
        exchange("xa", "fanout"),
        bind("q1", "xa"),
        asked("k", "x1"),
        asked("k", "x1"),
        op("a1", "exchange.delete", exchange="xa", if_unused=False),
        asked("k", "x1"),
        exchange("xa", "direct"),
        bind("q2", "xa", "k"),
        asked("k", "x1"),
        asked("z", "x1"),
        bind("q1", "x1", "k"),
        asked("k", "x1"),
        unbind("q1", "x1", "k"),
        asked("k", "x1"),
        unbind("q2", "xa", "k"),
        asked("k", "x1"),
        bind("q2", "xa", "k"),
        op("a1", "queue.delete", queue="q2"),
        asked("k", "x1"),
        op("a1", "exchange.delete", exchange="xa", if_unused=True),
        op("a1", "exchange.delete", exchange="x1", if_unused=True),
        exchange("x1"),
        exchange("xa", "fanout"),
        bind("q1", "xa"),
        asked("k", "x1"),
    ]


@transcript("R25")
def alternate_of_auto_delete_exchanges() -> Sequence:
    """Being an alternate keeps nothing alive, and is no use of an exchange."""
    return [
        exchange("xa", "fanout", auto_delete=True),
        alternate("x1", "xa", "topic", auto_delete=True),
        declare("q1"),
        declare("q2"),
        bind("q1", "xa"),
        bind("q2", "x1", "a.#"),
        asked("a.b", "x1"),
        asked("b", "x1"),
        unbind("q1", "xa"),
        asked("b", "x1"),
        exchange("xa", "fanout", auto_delete=True),
        bind("q1", "xa"),
        asked("b", "x1"),
        unbind("q2", "x1", "a.#"),
        *drain("q1", "q2"),
    ]


@transcript("R25")
def alternates_in_a_row_and_in_a_circle() -> Sequence:
    """Each exchange on the way may have an alternate; a circle of them ends."""
    return [
        alternate("x1", "x2"),
        alternate("x2", "x3", "topic"),
        alternate("x3", "x1", "headers"),
        alternate("x4", "x4", "fanout"),
        *(declare(f"q{number}") for number in (1, 2, 3)),
        *(asked("k", name) for name in ("x1", "x2", "x3", "x4")),
        bind("q1", "x1", "k"),
        *(asked("k", name) for name in ("x1", "x2", "x3")),
        bind("q2", "x2", "*"),
        bind("q3", "x3", "", arguments={"x-match": "any", "h": 1}),
        *(asked("k", name) for name in ("x1", "x2", "x3")),
        *(asked("z", name) for name in ("x1", "x2", "x3")),
        *(asked("y.z", name, properties=with_headers(h=1)) for name in ("x1", "x2", "x3")),
        *(asked("y.z", name, properties=with_headers(h=2)) for name in ("x1", "x2", "x3")),
        *drain("q1", "q2", "q3", count=5),
    ]


@transcript("R25", "R24")
def alternates_and_bindings_between_exchanges() -> Sequence:
    """An exchange that has a matching binding needs no alternate, also if nothing comes of the binding."""
    return [
        alternate("x1", "xa", "fanout"),
        exchange("x2", "direct"),
        exchange("xa", "fanout"),
        declare("q1"),
        bind("q1", "xa"),
        link("x1", "x2"),
        asked("k", "x1"),
        unlink("x1", "x2"),
        asked("k", "x1"),
        exchange("x3", "fanout"),
        alternate("x4", "xa", "direct"),
        link("x3", "x4"),
        asked("k", "x3"),
        link("x4", "x3", "k"),
        asked("k", "x3"),
        asked("z", "x3"),
        link("xa", "x4"),
        asked("z", "x3"),
        link("x3", "xa"),
        asked("z", "x3"),
        *drain("q1", count=7),
    ]


@transcript("R25", "R26")
def alternates_and_selected_keys() -> Sequence:
    """All keys of a message count together: one that matches is enough."""
    return [
        alternate("x1", "xa"),
        exchange("xa", "direct"),
        *(declare(f"q{number}") for number in (1, 2, 3)),
        bind("q1", "x1", "a"),
        bind("q2", "xa", "b"),
        bind("q3", "xa", "c"),
        asked("a", "x1", properties=with_headers(CC=["b"])),
        asked("b", "x1", properties=with_headers(CC=["a"])),
        asked("b", "x1", properties=with_headers(CC=["c"])),
        asked("z", "x1", properties=with_headers(BCC=["c", "b"])),
        asked("z", "x1", properties=with_headers(BCC=["y"])),
        asked("z", "x1", properties=with_headers(CC="a")),
        *drain("q1", "q2", "q3"),
    ]


@transcript("R25", "R23")
def alternates_that_cannot_be_published_to() -> Sequence:
    """An alternate may be internal; the default exchange is none, whatever its name says."""
    return [
        alternate("x1", "xi"),
        exchange("xi", "fanout", internal=True),
        declare("q1"),
        bind("q1", "xi"),
        asked("q1", "x1"),
        asked("q1", "xi"),
        alternate("x2", ""),
        asked("q1", "x2"),
        alternate("x3", "amq.fanout"),
        bind("q1", "amq.fanout"),
        asked("k", "x3"),
        *drain("q1"),
    ]


@transcript("R25", "R66")
def alternates_and_confirms() -> Sequence:
    """What an alternate takes is routed; what nobody takes is returned and confirmed."""
    return [
        op("a1", "confirm.select"),
        alternate("x1", "xa"),
        asked("k", "x1"),
        exchange("xa", "fanout"),
        asked("k", "x1"),
        declare("q1", durable=True),
        bind("q1", "xa"),
        asked("k", "x1", count=3, properties=properties(delivery_mode=2)),
        unbind("q1", "xa"),
        asked("k", "x1", count=2),
    ]


@transcript("R25", "406", "403")
def alternate_argument_is_checked_for_new_exchanges_only() -> Sequence:
    """An exchange that exists is compared first; the type, reserved names and the argument come after."""
    return [
        exchange("x1"),
        exchange("x1", arguments={"alternate-exchange": 5}),
        exchange("x1", "fanout", arguments={"alternate-exchange": 5}),
        exchange("amq.foo", arguments={"alternate-exchange": 5}),
        exchange("x2", arguments={"alternate-exchange": True}),
        exchange("x3", HASH, arguments={"hash-property": "foo", "alternate-exchange": 5}),
        alternate("x4", "xa"),
        exchange("x4"),
        alternate("x4", "xb"),
        alternate("x4", "xa"),
    ]


@transcript("R25", "R92", "403")
def alternate_needs_permissions_once() -> Sequence:
    """Read on the exchange and write on its alternate, asked when it is made, not when it is used."""
    return [
        LIMITED,
        alternate("l-made", "xa"),
        exchange("xa", "fanout"),
        declare("q1"),
        bind("q1", "xa"),
        *on_l(
            alternate("l-made", "xa"),
            exchange("l-made"),
            asked("k", "l-made"),
            alternate("l-new", "xa"),
            alternate("l-new", "l-any"),
            alternate("l-new", "xa"),
        ),
        get("q1"),
    ]


@transcript("R25", "R29", "R30")
def alternates_of_other_types() -> Sequence:
    """Exchanges of every type pass on what they have no binding for."""
    kinds = (RANDOM, HASH, HISTORY, MODULUS)
    return [
        *(alternate(f"x{number}", "xa", kind) for number, kind in enumerate(kinds)),
        exchange("xa", "fanout"),
        declare("q1"),
        declare("q2"),
        bind("q1", "xa"),
        *(asked("k", f"x{number}") for number in range(len(kinds))),
        *(bind("q2", f"x{number}", "1") for number in range(len(kinds))),
        *(asked("k", f"x{number}") for number in range(len(kinds))),
        *(unbind("q2", f"x{number}", "1") for number in range(len(kinds))),
        *(asked("k", f"x{number}") for number in range(len(kinds))),
        *drain("q1", "q2", count=9),
    ]


# --- one destination of several -------------------------------------------------------------------------


@transcript("R29", "406")
def consistent_hash_weights() -> Sequence:
    """A binding key is a weight: a whole number, written in decimal, of at least 1."""
    keys = ("abc", "0", "-1", "", " 1", "1 ", "1.5", "+2", "007", "é", "1e3", "-", "00", "999999")
    return [
        exchange("xc", HASH),
        exchange("xf", "fanout"),
        declare("q1"),
        asked("k", "xc"),
        *(operation for key in keys for operation in (bind("q1", "xc", key), unbind("q1", "xc", key))),
        link("xc", "xf", "x"),
        link("xc", "xf", "1"),
        asked("k", "xc"),
        bind("q1", "xf"),
        asked("k", "xc"),
        unlink("xc", "xf", "zzz"),
        unlink("xc", "xf", "1"),
        asked("k", "xc"),
    ]


@transcript("R29", "406")
def consistent_hash_arguments() -> Sequence:
    """A header or one of three properties to hash by; of an exchange that exists they are not compared."""
    tables: list[dict[str, Any]] = [
        {"hash-header": "h", "hash-property": "message_id"},
        {"hash-property": "foo"},
        {"hash-property": ""},
        {"hash-property": "timestamp"},
        {"hash-property": "foo"},
        {"hash-header": "h"},
    ]
    return [
        *(exchange("x1", HASH, arguments=table) for table in tables),
        exchange("x2", HASH, arguments={"hash-header": ""}),
        exchange("x3", HASH, arguments={"hash-property": "message_id", "other": 1}),
        exchange("x4", HASH, arguments={"hash-property": "correlation_id"}),
    ]


@transcript("R29", "406")
def consistent_hash_arguments_of_other_types() -> Sequence:
    return [
        exchange("x1", HASH, arguments={"hash-header": 5}),
        exchange("x1", HASH, arguments={"hash-property": True}),
    ]


@transcript("R29")
def consistent_hash_of_one_queue() -> Sequence:
    """Whatever is hashed and whatever is missing, a message goes to the only queue."""
    sources: dict[str, dict[str, Any]] = {
        "x1": {},
        "x2": {"hash-header": "h"},
        "x3": {"hash-property": "message_id"},
        "x4": {"hash-property": "timestamp"},
        "x5": {"hash-property": "correlation_id"},
    }
    messages = (
        "",
        with_headers(h="v"),
        with_headers(h=5, CC=["a", "b"], BCC=["c"]),
        with_headers(h=[1, {"a": None}]),
        properties(message_id="m", correlation_id="c", timestamp=SOME_TIME, headers={"h": 1.5}),
    )
    return [
        declare("q1"),
        *(exchange(name, HASH, arguments=table) for name, table in sources.items()),
        *(bind("q1", name, "3") for name in sources),
        *(asked("k", name, properties=each or "0000") for name in sources for each in messages),
        *drain("q1", count=len(sources) * len(messages)),
    ]


@transcript("R29")
def consistent_hash_binding_twice() -> Sequence:
    """RabbitMQ forgets a queue with any of its bindings; here the others stay."""
    return [
        exchange("xc", HASH),
        declare("q1"),
        bind("q1", "xc", "1"),
        bind("q1", "xc", "1"),
        bind("q1", "xc", "100"),
        asked("k", "xc"),
        unbind("q1", "xc", "100"),
        asked("k", "xc"),
    ]


@transcript("R29", "R23")
def consistent_hash_queues_that_go() -> Sequence:
    """A queue's end takes it out of the hash, and an auto-delete exchange goes with the last."""
    return [
        exchange("xc", HASH, auto_delete=True),
        *(declare(f"q{number}") for number in (1, 2, 3)),
        *(bind(f"q{number}", "xc", str(number)) for number in (1, 2, 3)),
        op("a1", "queue.delete", queue="q2"),
        op("a1", "queue.delete", queue="q3"),
        *(asked(f"k{number}", "xc") for number in range(5)),
        op("a1", "queue.delete", queue="q1"),
        asked("k", "xc"),
    ]


@transcript("R30")
def random_and_modulus_hash_of_one_queue() -> Sequence:
    """Keys of bindings mean nothing; without a binding nothing is routed."""
    return [
        declare("q1"),
        *(
            operation
            for name, kind in (("xr", RANDOM), ("xm", MODULUS))
            for operation in (
                exchange(name, kind, arguments={"any": 1}),
                asked("k", name),
                bind("q1", name, "a"),
                bind("q1", name, "b", arguments={"x-match": "foo"}),
                asked("k", name),
                asked("", name, properties=with_headers(CC=["x"])),
                unbind("q1", name, "a"),
                asked("k", name),
                exchange("xf", "fanout"),
                unbind("q1", name, "b", arguments={"x-match": "foo"}),
                link(name, "xf", "z"),
                asked("k", name),
                bind("q1", "xf"),
                asked("k", name),
                op("a1", "exchange.delete", exchange="xf"),
                asked("k", name),
                exchange(name, kind),
            )
        ),
        *drain("q1", count=9),
    ]


# --- recent history -------------------------------------------------------------------------------------


@transcript("R30", "406")
def recent_history_length_is_checked() -> Sequence:
    values = (0, -1, "5", 1.5, None, True, {"a": 1, "b": "c"}, {}, [1, "a"], "", 3, 0)
    return [exchange("xh", HISTORY, arguments={LENGTH: value}) for value in values]


@transcript("R30", "R27")
def recent_history_for_who_is_bound_later() -> Sequence:
    """A new binding brings the last messages, oldest first, routed or not; the same one again does not."""
    return [
        exchange("xh", HISTORY),
        asked("k", "xh", count=3),
        publish("k2", "xh", properties=with_headers(**{NO_STORE: True})),
        publish("k3", "xh", properties=with_headers(**{NO_STORE: "true"})),
        publish("k4", "xh", properties=with_headers(**{NO_STORE: False, "BCC": ["zz"], "a": 1})),
        declare("q1"),
        bind("q1", "xh", "any"),
        *drain("q1", count=6),
        bind("q1", "xh", "any"),
        bind("q1", "xh", "other"),
        get("q1"),
        asked("k5", "xh"),
        op("a1", "queue.purge", queue="q1"),
        unbind("q1", "xh", "any"),
        bind("q1", "xh", "any"),
        publish("zz", "xh", count=30),
        declare("q2"),
        bind("q2", "xh"),
        get("q2"),
    ]


@transcript("R30")
def recent_history_of_a_length() -> Sequence:
    """The first declaration's length counts; the history ends with its exchange."""
    return [
        exchange("xh", HISTORY, arguments={LENGTH: 2}),
        publish("k", "xh", count=5),
        declare("q1"),
        consume("q1"),
        bind("q1", "xh"),
        ack(0),
        exchange("xh", HISTORY, arguments={LENGTH: 5}),
        publish("k", "xh", count=5),
        declare("q2"),
        bind("q2", "xh"),
        op("a1", "exchange.delete", exchange="xh"),
        exchange("xh", HISTORY),
        bind("q2", "xh"),
    ]


@transcript("R30", "R44")
def recent_history_keeps_properties() -> Sequence:
    """Times to live begin anew, priorities and persistence stay."""
    return [
        exchange("xh", HISTORY),
        publish("k", "xh", properties=properties(expiration="0")),
        publish("k", "xh", properties=properties(delivery_mode=2)),
        publish("k", "xh", body=""),
        publish("k", "xh", body=["x", 150_000]),
        declare("q1", durable=True),
        bind("q1", "xh"),
        *drain("q1", count=4),
        exchange("xp", HISTORY),
        *(publish("k", "xp", properties=properties(priority=number, app_id="a")) for number in (0, 3, 1, 9)),
        declare("q2", durable=True, arguments={"x-max-priority": 5}),
        bind("q2", "xp"),
        *drain("q2", count=4),
    ]


@transcript("R30", "R24", "R25")
def recent_history_behind_other_exchanges() -> Sequence:
    """What comes through a binding or as to an alternate is remembered as well."""
    return [
        exchange("xh", HISTORY),
        exchange("xf", "fanout"),
        alternate("xd", "xh"),
        link("xf", "xh"),
        asked("k", "xf", count=2),
        asked("k", "xd"),
        declare("q1"),
        bind("q1", "xd", "k"),
        asked("k", "xd"),
        declare("q2"),
        bind("q2", "xh"),
        *drain("q2", count=4),
    ]


@transcript("R30", "R24")
def recent_history_for_an_exchange() -> Sequence:
    """An exchange that is bound gets the history newest first, each message by its own key."""
    return [
        exchange("xh", HISTORY),
        publish("k", "xh", count=2),
        publish("z", "xh", properties=with_headers(CC=["k"])),
        exchange("xt", "topic"),
        declare("q1"),
        bind("q1", "xt", "k"),
        bind("q1", "xt", "z"),
        link("xh", "xt"),
        *drain("q1", count=4),
        exchange("xg", HISTORY),
        declare("q2"),
        bind("q2", "xg"),
        link("xh", "xg"),
        declare("q3"),
        bind("q3", "xg"),
        *drain("q2", "q3", count=4),
    ]


@transcript("R30", "R24")
def recent_history_for_an_exchange_without_queues() -> Sequence:
    """RabbitMQ crashes if an exchange that is bound routes one of the messages nowhere."""
    return [
        exchange("xh", HISTORY),
        publish("k", "xh"),
        exchange("xd", "direct"),
        link("xh", "xd"),
        asked("k", "xh"),
    ]
