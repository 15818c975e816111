"""Exchanges, bindings and routing."""

from __future__ import annotations

from typing import Any

from tests.compare.operations import Operation, Sequence, bind, declare, exchange, get, op, publish, unbind
from tests.compare.written.registry import properties, transcript


def drain(*queues: str, count: int = 3) -> list[Operation]:
    return [get(queue, no_ack=True) for queue in queues for _ in range(count)]


def headers(**table: Any) -> str:
    return properties(headers={key.replace("_", "-"): value for key, value in table.items()})


@transcript("R20")
def default_exchange_routes_by_queue_name() -> Sequence:
    return [
        declare("q1"),
        publish("q1"),
        publish("Q1", mandatory=True),
        publish("", mandatory=True),
        get("q1"),
        declare("q2"),
        bind("q1", "amq.direct", "q2"),
        publish("q2"),
        publish("q2", "amq.direct"),
        *drain("q1", "q2", count=2),
    ]


@transcript("R21", "R22")
def predeclared_exchanges_route() -> Sequence:
    return [
        declare("q1"),
        bind("q1", "amq.direct", "a"),
        bind("q1", "amq.fanout", "b"),
        bind("q1", "amq.topic", "c.#"),
        bind("q1", "amq.headers", "d", arguments={"x-match": "all", "k": "v"}),
        bind("q1", "amq.match", "e", arguments={"x-match": "any", "k": "v", "l": "w"}),
        publish("a", "amq.direct"),
        publish("x", "amq.direct", mandatory=True),
        publish("x", "amq.fanout"),
        publish("c.d", "amq.topic"),
        publish("x", "amq.headers", properties=headers(k="v")),
        publish("x", "amq.match", properties=headers(l="w")),
        *drain("q1", count=6),
    ]


@transcript("R22")
def direct_routing() -> Sequence:
    """Exact keys only; one queue gets a message once, whatever the number of its bindings."""
    return [
        declare("q1"),
        declare("q2"),
        exchange("x1"),
        bind("q1", "x1", "a"),
        bind("q1", "x1", "b"),
        bind("q2", "x1", "a"),
        bind("q2", "x1", ""),
        bind("q2", "x1", "*"),
        publish("a", "x1"),
        publish("b", "x1"),
        publish("", "x1"),
        publish("ab", "x1", mandatory=True),
        unbind("q1", "x1", "a"),
        publish("a", "x1"),
        *drain("q1", "q2"),
    ]


@transcript("R22")
def topic_routing() -> Sequence:
    """`*` is one word, `#` any number of words; empty words are words."""
    patterns = (
        "a.b",
        "*.b",
        "a.*",
        "#",
        "#.b",
        "a.#",
        "*.*",
        "a.#.b",
        "*",
        "",
        "#.#",
        "a.*.#",
        ".",
        "*.",
        "a..b",
    )
    keys = ("a.b", "a", "b", "", "a.b.c", "a.x.b", "a.x.y.b", ".", "a.", "a..b", "A.b", "a.b.", "*.b", "#")
    declares = [declare(f"q{number}") for number in range(len(patterns))]
    binds = [bind(f"q{number}", "xt", pattern) for number, pattern in enumerate(patterns)]
    return [exchange("xt", "topic"), *declares, *binds, *(publish(key, "xt", mandatory=True) for key in keys)]


@transcript("R22", "R31")
def topic_unbind_leaves_the_others() -> Sequence:
    return [
        exchange("xt", "topic"),
        declare("q1"),
        declare("q2"),
        bind("q1", "xt", "a.#"),
        bind("q1", "xt", "a.*"),
        bind("q2", "xt", "a.#"),
        publish("a.b", "xt"),
        unbind("q1", "xt", "a.#"),
        publish("a.b", "xt"),
        publish("a.b.c", "xt"),
        unbind("q1", "xt", "a.*"),
        publish("a.b", "xt"),
        unbind("q2", "xt", "#"),
        publish("a", "xt"),
        unbind("q2", "xt", "a.#"),
        publish("a", "xt", mandatory=True),
    ]


@transcript("R22")
def fanout_routing() -> Sequence:
    """Keys do not count; each queue gets one copy."""
    return [
        exchange("xf", "fanout"),
        declare("q1"),
        declare("q2"),
        bind("q1", "xf", "a"),
        bind("q1", "xf", "b"),
        bind("q2", "xf", ""),
        publish("zzz", "xf"),
        publish("", "xf", count=2),
        unbind("q1", "xf", "a"),
        publish("a", "xf"),
        unbind("q1", "xf", "b"),
        publish("a", "xf"),
        *drain("q1", "q2", count=6),
    ]


@transcript("R22")
def headers_all_and_any() -> Sequence:
    """x-match all and any, absence of x-match, values by type, void for presence, x- headers ignored."""
    tables: list[dict[str, Any]] = [
        {"x-match": "all", "k": "v", "n": 1},
        {"x-match": "any", "k": "v", "n": 1},
        {"k": "v", "n": 1},
        {"x-match": "all"},
        {"x-match": "any"},
        {},
        {"x-match": "all", "k": None},
        {"x-match": "any", "k": None, "z": 1},
        {"x-match": "all", "x-k": "v"},
        {"x-match": "any", "x-k": "v"},
        {"x-match": "all", "x-k": "v", "k": "v"},
    ]
    messages: list[dict[str, Any]] = [
        {},
        {"k": "v"},
        {"n": 1},
        {"k": "v", "n": 1},
        {"k": "v", "n": 2},
        {"k": "w"},
        {"k": None},
        {"x-k": "v"},
        {"k": "v", "x-k": "w"},
        {"n": True},
        {"n": "1"},
        {"k": "v", "n": 1, "other": [1]},
    ]
    return [
        exchange("xh", "headers"),
        *(declare(f"q{number}") for number in range(len(tables))),
        *(bind(f"q{number}", "xh", "", arguments=table) for number, table in enumerate(tables)),
        *(publish("k", "xh", mandatory=True, properties=properties(headers=table)) for table in messages),
        publish("k", "xh", mandatory=True),
    ]


@transcript("R22")
def headers_floats_and_integers() -> Sequence:
    """RabbitMQ 3.13 tells 1 from 1.0; 3.10 does not."""
    return [
        exchange("xh", "headers"),
        declare("q1"),
        declare("q2"),
        bind("q1", "xh", "", arguments={"n": 1}),
        bind("q2", "xh", "", arguments={"x-match": "any", "n": 1.5}),
        publish("k", "xh", mandatory=True, properties=properties(headers={"n": 1.0})),
        publish("k", "xh", mandatory=True, properties=properties(headers={"n": 1.5})),
        publish("k", "xh", mandatory=True, properties=properties(headers={"n": 1})),
    ]


@transcript("R22")
def headers_with_x() -> Sequence:
    """all-with-x and any-with-x look at x- headers too; x-match itself never counts."""
    tables: list[dict[str, Any]] = [
        {"x-match": "all-with-x", "x-k": "v"},
        {"x-match": "any-with-x", "x-k": "v", "k": "v"},
        {"x-match": "all-with-x", "x-k": "v", "k": "v"},
        {"x-match": "all-with-x"},
        {"x-match": "any-with-x"},
    ]
    messages: list[dict[str, Any]] = [{}, {"x-k": "v"}, {"k": "v"}, {"k": "v", "x-k": "v"}, {"x-k": "w"}]
    return [
        exchange("xh", "headers"),
        *(declare(f"q{number}") for number in range(len(tables))),
        *(bind(f"q{number}", "xh", "", arguments=table) for number, table in enumerate(tables)),
        *(publish("k", "xh", mandatory=True, properties=properties(headers=table)) for table in messages),
    ]


@transcript("406", "R22")
def headers_match_value_is_checked() -> Sequence:
    return [
        declare("q1"),
        *(
            bind("q1", "amq.headers", "k", arguments={"a": 1, "x-match": value})
            for value in ("foo", "", 5, None, True, "ALL", [1])
        ),
        bind("q1", "amq.direct", "k", arguments={"x-match": "foo"}),
        exchange("xh", "headers"),
        op("a1", "exchange.bind", destination="xh", source="amq.headers", arguments={"x-match": "foo"}),
    ]


@transcript("R31")
def binding_identity() -> Sequence:
    """The same binding twice is one; other arguments make another binding."""
    return [
        declare("q1"),
        exchange("x1"),
        bind("q1", "x1", "k"),
        bind("q1", "x1", "k"),
        publish("k", "x1"),
        unbind("q1", "x1", "k"),
        publish("k", "x1", mandatory=True),
        bind("q1", "x1", "k", arguments={"a": 1}),
        bind("q1", "x1", "k", arguments={"a": 2}),
        bind("q1", "x1", "k"),
        publish("k", "x1"),
        unbind("q1", "x1", "k"),
        publish("k", "x1"),
        unbind("q1", "x1", "k", arguments={"a": 3}),
        publish("k", "x1"),
        unbind("q1", "x1", "k", arguments={"a": 1}),
        unbind("q1", "x1", "k", arguments={"a": 2}),
        publish("k", "x1", mandatory=True),
        bind("q1", "x1", "k", arguments={"a": 1, "b": 2}),
        unbind("q1", "x1", "k", arguments={"b": 2, "a": 1}),
        publish("k", "x1", mandatory=True),
    ]


@transcript("R23")
def auto_delete_exchange() -> Sequence:
    """Deleted with its last binding, not before it had one; as source of either kind of binding."""
    return [
        exchange("xa", auto_delete=True),
        publish("k", "xa"),
        declare("q1"),
        declare("q2"),
        bind("q1", "xa", "k"),
        bind("q2", "xa", "k"),
        unbind("q1", "xa", "k"),
        op("a1", "queue.delete", queue="q2"),
        exchange("xa", "fanout", auto_delete=True),
        exchange("xb", "fanout"),
        op("a1", "exchange.bind", destination="xb", source="xa"),
        op("a1", "exchange.unbind", destination="xb", source="xa"),
        exchange("xa", "fanout", auto_delete=True),
        op("a1", "exchange.bind", destination="xa", source="xb"),
        op("a1", "exchange.unbind", destination="xa", source="xb"),
        op("a1", "exchange.bind", destination="xb", source="xa"),
        op("a1", "exchange.delete", exchange="xb"),
    ]


@transcript("R23", "R24")
def auto_delete_chain() -> Sequence:
    """The end of one auto-delete exchange takes the last binding of the one before it."""
    return [
        *(exchange(name, "fanout", auto_delete=True) for name in ("xa", "xb", "xc")),
        op("a1", "exchange.bind", destination="xb", source="xa"),
        op("a1", "exchange.bind", destination="xc", source="xb"),
        declare("q1", exclusive=True),
        bind("q1", "xc"),
        publish("k", "xa"),
        get("q1"),
        op("a1", "queue.delete", queue="q1"),
        exchange("xa", "fanout", passive=True),
        exchange("xc", "fanout", passive=True),
    ]


@transcript("R23")
def internal_and_durable_exchange() -> Sequence:
    return [
        exchange("x1", "topic", durable=True, auto_delete=True, internal=True),
        exchange("x1", "topic", durable=True, auto_delete=True, internal=True),
        exchange("x1", "direct", passive=True),
        exchange("x2", "direct", nowait=True),
        exchange("x1", "topic", nowait=True),
        op("a1", "exchange.delete", exchange="x2", nowait=True),
        op("a1", "exchange.delete", exchange="x1"),
        op("a1", "exchange.delete", exchange="x1"),
    ]


@transcript("R23")
def deleting_an_exchange_removes_its_bindings() -> Sequence:
    return [
        declare("q1"),
        exchange("x1"),
        bind("q1", "x1", "k"),
        publish("k", "x1"),
        op("a1", "exchange.delete", exchange="x1"),
        exchange("x1"),
        publish("k", "x1", mandatory=True),
        get("q1"),
    ]


@transcript("R24")
def exchange_to_exchange() -> Sequence:
    """Routing through several exchanges by each one's own rule; one queue gets one copy."""
    return [
        exchange("x1", "topic"),
        exchange("x2", "direct"),
        exchange("x3", "fanout"),
        declare("q1"),
        declare("q2"),
        op("a1", "exchange.bind", destination="x2", source="x1", routing_key="a.*"),
        op("a1", "exchange.bind", destination="x3", source="x1", routing_key="#"),
        bind("q1", "x2", "a.b"),
        bind("q1", "x3"),
        bind("q2", "x3"),
        publish("a.b", "x1"),
        publish("a.c", "x1"),
        publish("z", "x1"),
        op("a1", "exchange.unbind", destination="x3", source="x1", routing_key="#"),
        publish("a.b", "x1"),
        publish("z", "x1", mandatory=True),
        op("a1", "exchange.bind", destination="x2", source="x1", routing_key="a.*", nowait=True),
        op("a1", "exchange.unbind", destination="x2", source="x1", routing_key="a.*", nowait=True),
        publish("a.b", "x1", mandatory=True),
        *drain("q1", "q2", count=5),
    ]


@transcript("R24")
def exchange_cycles() -> Sequence:
    """A cycle of exchanges ends, and every queue on it gets one copy."""
    return [
        *(exchange(name, "fanout") for name in ("x1", "x2", "x3")),
        op("a1", "exchange.bind", destination="x2", source="x1"),
        op("a1", "exchange.bind", destination="x3", source="x2"),
        op("a1", "exchange.bind", destination="x1", source="x3"),
        op("a1", "exchange.bind", destination="x1", source="x1"),
        declare("q1"),
        declare("q2"),
        bind("q1", "x1"),
        bind("q2", "x3"),
        publish("k", "x2"),
        publish("k", "x1", count=2),
        op("a1", "exchange.delete", exchange="x3"),
        publish("k", "x2", mandatory=True),
        *drain("q1", "q2", count=4),
    ]


@transcript("R25")
def alternate_exchange() -> Sequence:
    """What an exchange cannot route goes to its alternate, which counts as routed."""
    return [
        exchange("x1", arguments={"alternate-exchange": "xa"}),
        publish("k", "x1", mandatory=True),
        exchange("xa", "fanout"),
        publish("k", "x1", mandatory=True),
        declare("q1"),
        bind("q1", "xa"),
        publish("k", "x1", mandatory=True),
        declare("q2"),
        bind("q2", "x1", "k"),
        publish("k", "x1", mandatory=True),
        publish("z", "x1", mandatory=True),
        exchange("x2", arguments={"alternate-exchange": "x1"}),
        publish("k", "x2", mandatory=True),
        publish("y", "x2", mandatory=True),
        *drain("q1", "q2", count=4),
    ]


@transcript("R26")
def sender_selected_distribution() -> Sequence:
    """CC and BCC add routing keys; BCC is taken off; the routing key shown stays the published one."""
    both = properties(headers={"CC": ["q2", "q1"], "BCC": ["q3"], "n": 1})
    return [
        *(declare(f"q{number}") for number in (1, 2, 3)),
        publish("q1", properties=both),
        publish("nobody", properties=both, mandatory=True),
        publish("nobody", properties=properties(headers={"CC": ["none"]}), mandatory=True),
        exchange("x1", "topic"),
        bind("q3", "x1", "a.#"),
        publish("nobody", "x1", properties=properties(headers={"BCC": ["a.b"]})),
        publish(
            "q1", properties=properties(headers={"BCC": ["q2"]}, delivery_mode=2, content_type="text/plain")
        ),
        *drain("q1", "q2", "q3", count=4),
    ]
