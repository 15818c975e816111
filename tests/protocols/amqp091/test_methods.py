"""The method codec: against pamqp, against the slow twin, against truncation and garbage."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pillarbox.protocols.amqp091 import methods, wire
from pillarbox.protocols.amqp091.methods import METHODS, Method

from . import oracle, twin
from .strategies import ARGUMENTS, damaged

EVERY = pytest.mark.parametrize("method", METHODS.values(), ids=lambda method: method.name)
NOT_IN_PAMQP = {methods.ACCESS_REQUEST, methods.ACCESS_REQUEST_OK}
PAMQP = pytest.mark.parametrize(
    "method", [m for m in METHODS.values() if m.id not in NOT_IN_PAMQP], ids=lambda method: method.name
)

EXAMPLES: dict[str, Any] = {
    "octet": 200,
    "short": 40_000,
    "long": 3_000_000_000,
    "longlong": 1 << 63,
    "shortstr": "ключ",
    "longstr": b"\xff\x00",
    "bit": True,
    "table": {"a": {"b": [1, None, "x", {"c": wire.Byte(1)}]}, "ключ": 1.5},
}


def types_of(method: Method) -> list[str]:
    return [type_ for _, type_ in method.arguments]


def arguments_of(method: Method) -> st.SearchStrategy[tuple[Any, ...]]:
    return st.tuples(*(ARGUMENTS[type_] for type_ in types_of(method)))


def oracle_arguments(method: Method, tables: st.SearchStrategy[Any]) -> st.SearchStrategy[tuple[Any, ...]]:
    narrowed = {
        **ARGUMENTS,
        "longlong": st.integers(0, 2**63 - 1),
        "longstr": ARGUMENTS["shortstr"].map(str.encode),
        "table": tables,
    }
    return st.tuples(*(narrowed[type_] for type_ in types_of(method)))


# --- the table ----------------------------------------------------------------------------------------


def test_every_method_has_a_constant_of_its_name() -> None:
    for method in METHODS.values():
        constant = method.name.upper().replace(".", "_").replace("-", "_")
        assert getattr(methods, constant) == method.id


@PAMQP
def test_row_agrees_with_pamqp(method: Method) -> None:
    """The table of 1.4 in the specification: names, types, order, who must answer."""
    theirs = oracle.METHODS[method.id]
    arguments = [(oracle.RENAMED.get(name, name), type_) for name, type_ in method.arguments]
    assert arguments == [(name, theirs.amqp_type(name)) for name in theirs.attributes()]
    assert method.synchronous == theirs.synchronous
    assert method.name.replace("-", "").replace(".", "") == theirs.name.lower().replace(".", "")


def test_table_has_all_methods_of_pamqp_and_the_class_access() -> None:
    assert METHODS.keys() == oracle.METHODS.keys() | NOT_IN_PAMQP


def test_content_follows_the_four_methods_that_carry_a_message() -> None:
    names = {method.name for method in METHODS.values() if method.content}
    assert names == {"basic.publish", "basic.return", "basic.deliver", "basic.get-ok"}


def test_requests_come_from_the_client_unless_the_server_may_ask_too() -> None:
    """Every `-ok` answers in the direction opposite to its request."""
    for method in METHODS.values():
        if method.name.endswith("-ok"):
            request = next(m for m in METHODS.values() if m.name == method.name.removesuffix("-ok"))
            assert (method.from_server, method.from_client) == (request.from_client, request.from_server)
            assert request.synchronous
        assert method.from_client or method.from_server


# --- both ways ----------------------------------------------------------------------------------------


@EVERY
@settings(max_examples=20, deadline=None)
@given(data=st.data())
def test_arguments_come_back_and_agree_with_the_twin(method: Method, data: st.DataObject) -> None:
    arguments = data.draw(arguments_of(method))
    payload = methods.encode(method.id, *arguments)
    assert payload[:4] == method.id.to_bytes(4, "big")
    assert payload[4:] == twin.encode_arguments(types_of(method), arguments)
    found = methods.decode(method.id, payload)
    assert twin.typed(found) == twin.typed(arguments)
    assert twin.typed(found) == twin.typed(twin.decode_arguments(types_of(method), payload[4:]))


@PAMQP
@settings(max_examples=20, deadline=None)
@given(data=st.data())
def test_pamqp_reads_what_is_written(method: Method, data: st.DataObject) -> None:
    arguments = data.draw(oracle_arguments(method, oracle.READ_TABLES))
    payload = methods.encode(method.id, *arguments)
    assert oracle.decode_method(payload) == tuple(oracle.understood(value) for value in arguments)


@PAMQP
@settings(max_examples=20, deadline=None)
@given(data=st.data())
def test_what_pamqp_writes_is_read(method: Method, data: st.DataObject) -> None:
    arguments = data.draw(oracle_arguments(method, oracle.TOLD_TABLES))
    names = [name for name, _ in method.arguments]
    told = [
        value.decode() if type_ == "longstr" else value
        for value, type_ in zip(arguments, types_of(method), strict=True)
    ]
    payload = oracle.encode_method(method.id, dict(zip(names, told, strict=True)))
    found = methods.decode(method.id, payload)
    assert [oracle.understood(value) for value in found] == [oracle.understood(value) for value in arguments]


def test_offset_may_point_into_the_payload() -> None:
    """The key of a route is the arguments alone."""
    payload = methods.encode(methods.BASIC_PUBLISH, 0, "x", "k", True, False)
    assert methods.decode(methods.BASIC_PUBLISH, payload[4:], 0) == (0, "x", "k", True, False)


def test_frame_is_the_payload_between_head_and_end() -> None:
    frame = methods.method_frame(7, methods.BASIC_ACK, 5, True)
    payload = methods.encode(methods.BASIC_ACK, 5, True)
    assert frame == b"\x01\x00\x07\x00\x00\x00\x0d" + payload + b"\xce"
    assert frame == wire.frame(wire.FRAME_METHOD, 7, payload)


def test_strings_of_either_kind_may_be_text_or_bytes() -> None:
    as_text = methods.encode(methods.CONNECTION_START_OK, {}, "PLAIN", "пароль", "en_US")
    assert as_text == methods.encode(methods.CONNECTION_START_OK, {}, b"PLAIN", "пароль".encode(), b"en_US")


def test_spare_bits_are_ignored() -> None:
    """As in RabbitMQ: an octet of one bit may have others set."""
    payload = methods.encode(methods.BASIC_ACK, 5, False)
    assert methods.decode(methods.BASIC_ACK, payload[:-1] + b"\xfe") == (5, False)
    assert methods.decode(methods.BASIC_ACK, payload[:-1] + b"\xff") == (5, True)


# --- what is no method --------------------------------------------------------------------------------


@EVERY
def test_every_truncation_and_lengthening_is_refused(method: Method) -> None:
    arguments = tuple(EXAMPLES[type_] for type_ in types_of(method))
    payload = methods.encode(method.id, *arguments)
    assert methods.decode(method.id, payload) == arguments
    for size in range(4, len(payload)):
        with pytest.raises(wire.WireError) as caught:
            methods.decode(method.id, payload[:size])
        assert caught.value.code == 501
        assert caught.value.detail == f"cannot decode {wire.octets_text(payload[4:size])}"
    for tail in (b"\x00", b"\xff" * 300):
        with pytest.raises(wire.WireError, match="cannot decode"):
            methods.decode(method.id, payload + tail)


@EVERY
@settings(max_examples=20, deadline=None)
@given(data=st.data())
def test_damage_is_refused_exactly_when_the_twin_refuses_it(method: Method, data: st.DataObject) -> None:
    valid = arguments_of(method).map(lambda arguments: methods.encode(method.id, *arguments)[4:])
    octets = data.draw(damaged(valid) | st.binary(max_size=60))
    try:
        expected = twin.decode_arguments(types_of(method), octets)
    except twin.Malformed:
        with pytest.raises(wire.WireError):
            methods.decode(method.id, octets, 0)
    else:
        assert twin.typed(methods.decode(method.id, octets, 0)) == twin.typed(expected)


@pytest.mark.row("501")
@pytest.mark.parametrize(
    ("payload", "code", "detail"),
    [
        ("003c000a00000000", 501, "cannot decode <<0,0,0,0>>"),
        ("003c000a000000000000006a756e6b", 501, "cannot decode <<0,0,0,0,0,0,0,106,117,110,107>>"),
        (
            "0032000a000002713900000001f401615a2121",
            501,
            "cannot decode <<0,0,2,113,57,0,0,0,1,244,1,97,90,33,33>>",
        ),
        ("0032000a000002fffe0000000000", 501, "Malformed UTF-8 in shortstr"),
    ],
    ids=["truncated", "lengthened", "table beyond the frame", "name without UTF-8"],
)
def test_malformed_arguments_are_refused_in_the_words_of_rabbitmq(
    payload: str, code: int, detail: str
) -> None:
    """Recorded from RabbitMQ 3.10.8."""
    octets = bytes.fromhex(payload)
    with pytest.raises(wire.WireError) as caught:
        methods.decode(int.from_bytes(octets[:4], "big"), octets)
    assert (caught.value.code, caught.value.detail) == (code, detail)


@pytest.mark.row("502")
@pytest.mark.parametrize(
    ("table", "detail"),
    [
        (b"\x01aq\x00", 'unknown field type <<"q">>'),
        (b"\x01\xfft\x01", "Malformed UTF-8 in shortstr"),
        (b"\x01aS\x00\x00\x00\x09x", "field longer than its table"),
        (b"\x01a", "malformed table: truncated"),
        (b"\x09a", "malformed table: truncated"),
    ],
)
def test_malformed_table_among_good_arguments_says_what_is_wrong(table: bytes, detail: str) -> None:
    """RabbitMQ's reader crashes on these and drops the socket; here the peer is told."""
    payload = b"\x00\x00\x01q\x00" + len(table).to_bytes(4, "big") + table
    with pytest.raises(wire.WireError) as caught:
        methods.decode(methods.QUEUE_DECLARE, payload, 0)
    assert caught.value.detail == detail


def test_cut_within_a_character_counts_as_truncation() -> None:
    """Sizes come before texts, as in RabbitMQ."""
    payload = methods.encode(methods.CONNECTION_BLOCKED, "ключ")
    with pytest.raises(wire.WireError, match="cannot decode"):
        methods.decode(methods.CONNECTION_BLOCKED, payload[:-1])


@pytest.mark.parametrize(
    ("method_id", "arguments"),
    [
        (methods.CONNECTION_BLOCKED, ("x" * 256,)),
        (methods.CONNECTION_BLOCKED, ("\ud800",)),
        (methods.BASIC_ACK, (1 << 64, False)),
        (methods.BASIC_ACK, (-1, False)),
        (methods.QUEUE_DECLARE, (0, "q", False, False, False, False, False, {"a": 1 << 63})),
    ],
    ids=["long", "surrogate", "large", "negative", "large in a table"],
)
def test_what_does_not_fit_is_not_written(method_id: int, arguments: tuple[Any, ...]) -> None:
    with pytest.raises(ValueError, match=r"connection.blocked|basic.ack|surrogates|range"):
        methods.encode(method_id, *arguments)
