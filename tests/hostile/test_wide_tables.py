"""Messages with more headers or routing keys than anybody needs: refused before they cost much."""

from __future__ import annotations

import struct
from collections.abc import Callable

import pytest
from pamqp import commands

from pillarbox.protocols.amqp091 import methods as m
from pillarbox.protocols.amqp091 import wire
from pillarbox.protocols.amqp091.channel import KEYS_MAX
from pillarbox.protocols.amqp091.publishing import examine
from pillarbox.protocols.amqp091.wire_tables import FIELDS_MAX, demand_few_fields
from tests.hostile.conftest import Scene

Fields = Callable[[int], dict[str, object]]


def flat(count: int) -> dict[str, object]:
    return {f"{number:x}": None for number in range(count)}


def in_an_array(count: int) -> dict[str, object]:
    return {"a": [None] * (count - 1)}


def nested(count: int) -> dict[str, object]:
    """Of every kind, in tables in arrays."""
    kinds: list[object] = [1, 1 << 40, "text", b"bytes", 1.5, wire.Float(0.5), None, True, wire.Short(3)]
    table = {f"{number}": kinds[number % len(kinds)] for number in range(9)}
    tables = (count - 1) // 10
    return {"a": [*[table] * tables, *[None] * (count - 1 - 10 * tables)]}


@pytest.mark.parametrize("fields", [flat, in_an_array, nested])
def test_headers_are_counted_to_the_last_one_that_is_allowed(fields: Fields) -> None:
    allowed = wire.encode_properties(wire.Properties(headers=fields(FIELDS_MAX), content_type="text/plain"))
    assert examine(allowed, "guest").fault is None
    refused = wire.encode_properties(wire.Properties(headers=fields(FIELDS_MAX + 1), content_type="text"))
    assert examine(refused, "guest").fault == (502, f"more than {FIELDS_MAX} fields in a table")


@pytest.mark.parametrize("cut", [1, 7, 5000])
def test_counting_leaves_what_is_malformed_to_others(cut: int) -> None:
    table = wire.encode_properties(wire.Properties(headers=nested(FIELDS_MAX)))
    with pytest.raises(wire.WireError, match=r"malformed properties: truncated|longer than"):
        raise_fault(table[:-cut])
    demand_few_fields(struct.pack(">I", 10_000) + b"\1aQ" + bytes(9997), 0)


def raise_fault(properties: bytes) -> None:
    fault = examine(properties, "guest").fault
    assert fault is not None
    raise wire.WireError(fault[1], fault[0])


def publish(properties: wire.Properties) -> bytes:
    method = m.method_frame(1, m.BASIC_PUBLISH, 0, "", "nowhere", False, False)
    return method + wire.content_frames(1, wire.encode_properties(properties), b"body", 131_072)


def test_message_with_too_many_headers_ends_its_connection(scene: Scene) -> None:
    with scene.logged_in() as client:
        client.send_bytes(publish(wire.Properties(headers=flat(FIELDS_MAX + 1))))
        close = client.expect(commands.Connection.Close)
        assert (close.reply_code, close.reply_text) == (
            502,
            f"SYNTAX_ERROR - more than {FIELDS_MAX} fields in a table",
        )


@pytest.mark.row("R26")
@pytest.mark.parametrize("header", ["CC", "BCC"])
def test_message_with_too_many_routing_keys_ends_its_channel(scene: Scene, header: str) -> None:
    with scene.logged_in() as client:
        keys = [f"{number}" for number in range(KEYS_MAX + 1)]
        client.send_bytes(publish(wire.Properties(headers={header: keys[:-1]})))
        client.send_bytes(publish(wire.Properties(headers={header: keys})))
        close = client.expect(commands.Channel.Close, 1)
        text = f"invalid message: more than {KEYS_MAX} routing keys in the header '{header}'"
        assert (close.reply_code, close.reply_text) == (406, f"PRECONDITION_FAILED - {text}")
