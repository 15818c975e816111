"""Every method of AMQP 0-9-1 with RabbitMQ's extensions: one table, and the codec that follows from it.

Not here: what a method means, frames of other kinds (`wire`).

`decode` and `encode` use a function of their own for every method, written from its row when the method is
first met: runs of arguments with a fixed size become one `struct` call, and start-up costs nothing. The
slow, obvious twin stands in `tests/protocols/amqp091`.

Arguments are tuples in the order of the table. octet, short, long, longlong and timestamp are unsigned
integers of 1, 2, 4, 8 and 8 bytes; adjacent bits share an octet, lowest first; shortstr is `str`, longstr is
`bytes`, table a `dict` (see `wire`). Arguments that 0-9-1 calls reserved keep their older names.

Source: AMQP 0-9-1 specification, generated XML; `amqp-rabbitmq-0.9.1.json`; the error texts are those of
RabbitMQ 3.10.8.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from struct import Struct
from typing import Any, Final, NamedTuple

from pillarbox.protocols.amqp091.wire import FRAME_END, FRAME_METHOD
from pillarbox.protocols.amqp091.wire_tables import (
    FAULTS,
    FRAME_ERROR,
    WireError,
    encode_table,
    octets_text,
    read_table,
)

CONNECTION_START: Final = 0x000A000A
CONNECTION_START_OK: Final = 0x000A000B
CONNECTION_SECURE: Final = 0x000A0014
CONNECTION_SECURE_OK: Final = 0x000A0015
CONNECTION_TUNE: Final = 0x000A001E
CONNECTION_TUNE_OK: Final = 0x000A001F
CONNECTION_OPEN: Final = 0x000A0028
CONNECTION_OPEN_OK: Final = 0x000A0029
CONNECTION_CLOSE: Final = 0x000A0032
CONNECTION_CLOSE_OK: Final = 0x000A0033
CONNECTION_BLOCKED: Final = 0x000A003C
CONNECTION_UNBLOCKED: Final = 0x000A003D
CONNECTION_UPDATE_SECRET: Final = 0x000A0046
CONNECTION_UPDATE_SECRET_OK: Final = 0x000A0047
CHANNEL_OPEN: Final = 0x0014000A
CHANNEL_OPEN_OK: Final = 0x0014000B
CHANNEL_FLOW: Final = 0x00140014
CHANNEL_FLOW_OK: Final = 0x00140015
CHANNEL_CLOSE: Final = 0x00140028
CHANNEL_CLOSE_OK: Final = 0x00140029
ACCESS_REQUEST: Final = 0x001E000A
ACCESS_REQUEST_OK: Final = 0x001E000B
EXCHANGE_DECLARE: Final = 0x0028000A
EXCHANGE_DECLARE_OK: Final = 0x0028000B
EXCHANGE_DELETE: Final = 0x00280014
EXCHANGE_DELETE_OK: Final = 0x00280015
EXCHANGE_BIND: Final = 0x0028001E
EXCHANGE_BIND_OK: Final = 0x0028001F
EXCHANGE_UNBIND: Final = 0x00280028
EXCHANGE_UNBIND_OK: Final = 0x00280033
QUEUE_DECLARE: Final = 0x0032000A
QUEUE_DECLARE_OK: Final = 0x0032000B
QUEUE_BIND: Final = 0x00320014
QUEUE_BIND_OK: Final = 0x00320015
QUEUE_PURGE: Final = 0x0032001E
QUEUE_PURGE_OK: Final = 0x0032001F
QUEUE_DELETE: Final = 0x00320028
QUEUE_DELETE_OK: Final = 0x00320029
QUEUE_UNBIND: Final = 0x00320032
QUEUE_UNBIND_OK: Final = 0x00320033
BASIC_QOS: Final = 0x003C000A
BASIC_QOS_OK: Final = 0x003C000B
BASIC_CONSUME: Final = 0x003C0014
BASIC_CONSUME_OK: Final = 0x003C0015
BASIC_CANCEL: Final = 0x003C001E
BASIC_CANCEL_OK: Final = 0x003C001F
BASIC_PUBLISH: Final = 0x003C0028
BASIC_RETURN: Final = 0x003C0032
BASIC_DELIVER: Final = 0x003C003C
BASIC_GET: Final = 0x003C0046
BASIC_GET_OK: Final = 0x003C0047
BASIC_GET_EMPTY: Final = 0x003C0048
BASIC_ACK: Final = 0x003C0050
BASIC_REJECT: Final = 0x003C005A
BASIC_RECOVER_ASYNC: Final = 0x003C0064
BASIC_RECOVER: Final = 0x003C006E
BASIC_RECOVER_OK: Final = 0x003C006F
BASIC_NACK: Final = 0x003C0078
CONFIRM_SELECT: Final = 0x0055000A
CONFIRM_SELECT_OK: Final = 0x0055000B
TX_SELECT: Final = 0x005A000A
TX_SELECT_OK: Final = 0x005A000B
TX_COMMIT: Final = 0x005A0014
TX_COMMIT_OK: Final = 0x005A0015
TX_ROLLBACK: Final = 0x005A001E
TX_ROLLBACK_OK: Final = 0x005A001F


class Method(NamedTuple):
    """One row: what the specification says about a method."""

    id: int
    name: str
    arguments: tuple[tuple[str, str], ...]
    """(name, type) of each."""
    content: bool
    """Header and body frames follow."""
    synchronous: bool
    """The peer must answer (unless nowait says otherwise)."""
    from_client: bool
    from_server: bool


# Id, name, who sends it (C client, S server), what it is (s synchronous, c carries content), arguments.
_ROWS: Final[tuple[tuple[int, str, str, str, str], ...]] = (
    (
        CONNECTION_START,
        "connection.start",
        "S",
        "s",
        "version_major:octet version_minor:octet server_properties:table mechanisms:longstr locales:longstr",
    ),
    (
        CONNECTION_START_OK,
        "connection.start-ok",
        "C",
        "",
        "client_properties:table mechanism:shortstr response:longstr locale:shortstr",
    ),
    (CONNECTION_SECURE, "connection.secure", "S", "s", "challenge:longstr"),
    (CONNECTION_SECURE_OK, "connection.secure-ok", "C", "", "response:longstr"),
    (CONNECTION_TUNE, "connection.tune", "S", "s", "channel_max:short frame_max:long heartbeat:short"),
    (CONNECTION_TUNE_OK, "connection.tune-ok", "C", "", "channel_max:short frame_max:long heartbeat:short"),
    (CONNECTION_OPEN, "connection.open", "C", "s", "virtual_host:shortstr capabilities:shortstr insist:bit"),
    (CONNECTION_OPEN_OK, "connection.open-ok", "S", "", "known_hosts:shortstr"),
    (
        CONNECTION_CLOSE,
        "connection.close",
        "CS",
        "s",
        "reply_code:short reply_text:shortstr class_id:short method_id:short",
    ),
    (CONNECTION_CLOSE_OK, "connection.close-ok", "CS", "", ""),
    (CONNECTION_BLOCKED, "connection.blocked", "S", "", "reason:shortstr"),
    (CONNECTION_UNBLOCKED, "connection.unblocked", "S", "", ""),
    (CONNECTION_UPDATE_SECRET, "connection.update-secret", "C", "s", "new_secret:longstr reason:shortstr"),
    (CONNECTION_UPDATE_SECRET_OK, "connection.update-secret-ok", "S", "", ""),
    (CHANNEL_OPEN, "channel.open", "C", "s", "out_of_band:shortstr"),
    (CHANNEL_OPEN_OK, "channel.open-ok", "S", "", "channel_id:longstr"),
    (CHANNEL_FLOW, "channel.flow", "CS", "s", "active:bit"),
    (CHANNEL_FLOW_OK, "channel.flow-ok", "CS", "", "active:bit"),
    (
        CHANNEL_CLOSE,
        "channel.close",
        "CS",
        "s",
        "reply_code:short reply_text:shortstr class_id:short method_id:short",
    ),
    (CHANNEL_CLOSE_OK, "channel.close-ok", "CS", "", ""),
    (
        ACCESS_REQUEST,
        "access.request",
        "C",
        "s",
        "realm:shortstr exclusive:bit passive:bit active:bit write:bit read:bit",
    ),
    (ACCESS_REQUEST_OK, "access.request-ok", "S", "", "ticket:short"),
    (
        EXCHANGE_DECLARE,
        "exchange.declare",
        "C",
        "s",
        "ticket:short exchange:shortstr type:shortstr passive:bit durable:bit auto_delete:bit internal:bit"
        " nowait:bit arguments:table",
    ),
    (EXCHANGE_DECLARE_OK, "exchange.declare-ok", "S", "", ""),
    (
        EXCHANGE_DELETE,
        "exchange.delete",
        "C",
        "s",
        "ticket:short exchange:shortstr if_unused:bit nowait:bit",
    ),
    (EXCHANGE_DELETE_OK, "exchange.delete-ok", "S", "", ""),
    (
        EXCHANGE_BIND,
        "exchange.bind",
        "C",
        "s",
        "ticket:short destination:shortstr source:shortstr routing_key:shortstr nowait:bit arguments:table",
    ),
    (EXCHANGE_BIND_OK, "exchange.bind-ok", "S", "", ""),
    (
        EXCHANGE_UNBIND,
        "exchange.unbind",
        "C",
        "s",
        "ticket:short destination:shortstr source:shortstr routing_key:shortstr nowait:bit arguments:table",
    ),
    (EXCHANGE_UNBIND_OK, "exchange.unbind-ok", "S", "", ""),
    (
        QUEUE_DECLARE,
        "queue.declare",
        "C",
        "s",
        "ticket:short queue:shortstr passive:bit durable:bit exclusive:bit auto_delete:bit nowait:bit"
        " arguments:table",
    ),
    (
        QUEUE_DECLARE_OK,
        "queue.declare-ok",
        "S",
        "",
        "queue:shortstr message_count:long consumer_count:long",
    ),
    (
        QUEUE_BIND,
        "queue.bind",
        "C",
        "s",
        "ticket:short queue:shortstr exchange:shortstr routing_key:shortstr nowait:bit arguments:table",
    ),
    (QUEUE_BIND_OK, "queue.bind-ok", "S", "", ""),
    (QUEUE_PURGE, "queue.purge", "C", "s", "ticket:short queue:shortstr nowait:bit"),
    (QUEUE_PURGE_OK, "queue.purge-ok", "S", "", "message_count:long"),
    (
        QUEUE_DELETE,
        "queue.delete",
        "C",
        "s",
        "ticket:short queue:shortstr if_unused:bit if_empty:bit nowait:bit",
    ),
    (QUEUE_DELETE_OK, "queue.delete-ok", "S", "", "message_count:long"),
    (
        QUEUE_UNBIND,
        "queue.unbind",
        "C",
        "s",
        "ticket:short queue:shortstr exchange:shortstr routing_key:shortstr arguments:table",
    ),
    (QUEUE_UNBIND_OK, "queue.unbind-ok", "S", "", ""),
    (BASIC_QOS, "basic.qos", "C", "s", "prefetch_size:long prefetch_count:short global:bit"),
    (BASIC_QOS_OK, "basic.qos-ok", "S", "", ""),
    (
        BASIC_CONSUME,
        "basic.consume",
        "C",
        "s",
        "ticket:short queue:shortstr consumer_tag:shortstr no_local:bit no_ack:bit exclusive:bit nowait:bit"
        " arguments:table",
    ),
    (BASIC_CONSUME_OK, "basic.consume-ok", "S", "", "consumer_tag:shortstr"),
    (BASIC_CANCEL, "basic.cancel", "CS", "s", "consumer_tag:shortstr nowait:bit"),
    (BASIC_CANCEL_OK, "basic.cancel-ok", "CS", "", "consumer_tag:shortstr"),
    (
        BASIC_PUBLISH,
        "basic.publish",
        "C",
        "c",
        "ticket:short exchange:shortstr routing_key:shortstr mandatory:bit immediate:bit",
    ),
    (
        BASIC_RETURN,
        "basic.return",
        "S",
        "c",
        "reply_code:short reply_text:shortstr exchange:shortstr routing_key:shortstr",
    ),
    (
        BASIC_DELIVER,
        "basic.deliver",
        "S",
        "c",
        "consumer_tag:shortstr delivery_tag:longlong redelivered:bit exchange:shortstr routing_key:shortstr",
    ),
    (BASIC_GET, "basic.get", "C", "s", "ticket:short queue:shortstr no_ack:bit"),
    (
        BASIC_GET_OK,
        "basic.get-ok",
        "S",
        "c",
        "delivery_tag:longlong redelivered:bit exchange:shortstr routing_key:shortstr message_count:long",
    ),
    (BASIC_GET_EMPTY, "basic.get-empty", "S", "", "cluster_id:shortstr"),
    (BASIC_ACK, "basic.ack", "CS", "", "delivery_tag:longlong multiple:bit"),
    (BASIC_REJECT, "basic.reject", "C", "", "delivery_tag:longlong requeue:bit"),
    (BASIC_RECOVER_ASYNC, "basic.recover-async", "C", "", "requeue:bit"),
    (BASIC_RECOVER, "basic.recover", "C", "s", "requeue:bit"),
    (BASIC_RECOVER_OK, "basic.recover-ok", "S", "", ""),
    (BASIC_NACK, "basic.nack", "CS", "", "delivery_tag:longlong multiple:bit requeue:bit"),
    (CONFIRM_SELECT, "confirm.select", "C", "s", "nowait:bit"),
    (CONFIRM_SELECT_OK, "confirm.select-ok", "S", "", ""),
    (TX_SELECT, "tx.select", "C", "s", ""),
    (TX_SELECT_OK, "tx.select-ok", "S", "", ""),
    (TX_COMMIT, "tx.commit", "C", "s", ""),
    (TX_COMMIT_OK, "tx.commit-ok", "S", "", ""),
    (TX_ROLLBACK, "tx.rollback", "C", "s", ""),
    (TX_ROLLBACK_OK, "tx.rollback-ok", "S", "", ""),
)


def _method(id_: int, name: str, senders: str, kind: str, arguments: str) -> Method:
    pairs = tuple((argument, type_) for argument, _, type_ in (a.partition(":") for a in arguments.split()))
    return Method(id_, name, pairs, "c" in kind, "s" in kind, "C" in senders, "S" in senders)


METHODS: Final[dict[int, Method]] = {row[0]: _method(*row) for row in _ROWS}
"""Every method by its id, (class_id << 16) | method_id."""


# --- the codec ---------------------------------------------------------------------------------------

_FIXED: Final = {"octet": "B", "short": "H", "long": "I", "longlong": "Q", "timestamp": "Q"}
_SIZED: Final = {"shortstr": "B", "longstr": "I"}

_decoders: dict[int, Callable[[bytes, int], tuple[Any, ...]]] = {}
_encoders: dict[int, Callable[..., bytes]] = {}
_head = Struct(">BHI").pack
_END = bytes((FRAME_END,))


def decode(method_id: int, payload: bytes, offset: int = 4) -> tuple[Any, ...]:
    """Read the arguments that fill `payload` from `offset` to its end.

    `method_id` must be one of `METHODS`. Raises WireError: 501 with RabbitMQ's words if the arguments do not
    fill the payload exactly or a short string is no UTF-8, 502 if a table within them is malformed.
    """
    decoder = _decoders.get(method_id) or _compile_decoder(method_id)
    try:
        return decoder(payload, offset)
    except (WireError, *FAULTS) as fault:
        raise _explained(method_id, payload, offset, fault) from None


def encode(method_id: int, *arguments: Any) -> bytes:
    """Write the payload of a method frame: ids and arguments. Strings of either kind may be str or bytes.

    Raises ValueError for what does not fit: a short string beyond 255 bytes, an integer out of range.
    """
    encoder = _encoders.get(method_id) or _compile_encoder(method_id)
    try:
        return encoder(*arguments)
    except struct.error as error:
        raise ValueError(f"{METHODS[method_id].name}{arguments!r}: {error}") from None


def method_frame(channel: int, method_id: int, *arguments: Any) -> bytes:
    """Write a whole method frame."""
    payload = encode(method_id, *arguments)
    return _head(FRAME_METHOD, channel, len(payload)) + payload + _END


def _explained(method_id: int, payload: bytes, offset: int, fault: Exception) -> WireError:
    """The error in RabbitMQ's order: sizes first, then the text of short strings, then tables."""
    if not _fits(METHODS[method_id], payload, offset):
        return WireError(f"cannot decode {octets_text(payload[offset:])}", FRAME_ERROR)
    if isinstance(fault, UnicodeDecodeError):
        return WireError("Malformed UTF-8 in shortstr", FRAME_ERROR)
    return fault if isinstance(fault, WireError) else WireError("malformed table: truncated")


def _fits(method: Method, payload: bytes, offset: int) -> bool:
    """Whether the arguments, by their sizes alone, fill the payload exactly."""
    bits = 0
    for _, type_ in method.arguments:
        if type_ == "bit":
            offset += bits % 8 == 0
            bits += 1
            continue
        bits = 0
        size = struct.calcsize(_FIXED.get(type_) or _SIZED.get(type_, "I"))
        head = payload[offset : offset + size]
        offset += size
        if type_ not in _FIXED:
            offset += int.from_bytes(head, "big")
        if len(head) < size:
            return False
    return offset == len(payload)


class _Run:
    """Adjacent values of fixed size, which one `struct` call reads or writes."""

    def __init__(self) -> None:
        self.codes = ""
        self.names: list[str] = []
        self.bits = 0

    def add(self, code: str, name: str) -> None:
        self.codes += code
        self.names.append(name)
        self.bits = 0

    def add_bit(self, name: str) -> tuple[str, int]:
        """Make room for one more bit, if need be in a new octet of this name; return octet and place."""
        place = self.bits % 8
        if place == 0:
            self.add("B", name)
        self.bits = place + 1
        return self.names[-1], place


def _compile_decoder(method_id: int) -> Callable[[bytes, int], tuple[Any, ...]]:
    """Write the function that decodes one method: `decode(data, p)`, with `p` moving on through the data."""
    names: dict[str, Any] = {"WireError": WireError, "read_table": read_table}
    lines: list[str] = []
    results: list[str] = []
    run = _Run()

    def end_run() -> None:
        nonlocal run
        if len(run.codes) == 1 and run.codes == "B":
            lines.append(f"{run.names[0]} = data[p]")
        elif run.codes:
            unpack = f"unpack{len(lines)}"
            names[unpack] = Struct(">" + run.codes).unpack_from
            lines.append(f"{', '.join(run.names)}, = {unpack}(data, p)")
        if run.codes:
            lines.append(f"p += {struct.calcsize('>' + run.codes)}")
        run = _Run()

    for index, (_, type_) in enumerate(METHODS[method_id].arguments):
        value = f"a{index}"
        if type_ == "bit":
            octet, place = run.add_bit(value)
            results.append(f"{octet} & {1 << place} != 0")
            continue
        results.append(value)
        if type_ in _FIXED:
            run.add(_FIXED[type_], value)
        elif type_ in _SIZED:
            run.add(_SIZED[type_], "size")
            end_run()
            suffix = ".decode()" if type_ == "shortstr" else ""
            lines += ["q = p + size", f"{value} = data[p:q]{suffix}", "p = q"]
        else:
            end_run()
            lines.append(f"{value}, p = read_table(data, p)")
    end_run()
    lines += [
        "if p != len(data):",
        "    raise WireError('size')",
        f"return ({''.join(result + ', ' for result in results)})",
    ]
    decoder: Callable[[bytes, int], tuple[Any, ...]]
    decoder = _decoders[method_id] = _define("decode(data, p)", lines, names)
    return decoder


def _compile_encoder(method_id: int) -> Callable[..., bytes]:
    """Write the function that encodes one method: `encode(a0, a1, ...)`."""
    names: dict[str, Any] = {"encode_table": encode_table}
    lines: list[str] = []
    parts: list[str] = []
    run = _Run()
    run.add("I", str(method_id))

    def end_run() -> None:
        nonlocal run
        if run.codes:
            pack = f"pack{len(parts)}"
            names[pack] = Struct(">" + run.codes).pack
            parts.append(f"{pack}({', '.join(run.names)})")
        run = _Run()

    arguments = METHODS[method_id].arguments
    for index, (_, type_) in enumerate(arguments):
        value = f"a{index}"
        if type_ == "bit":
            _, place = run.add_bit("0")
            run.names[-1] += f" | ({1 << place} if {value} else 0)"
        elif type_ in _FIXED:
            run.add(_FIXED[type_], value)
        elif type_ in _SIZED:
            lines.append(f"if {value}.__class__ is not bytes: {value} = {value}.encode()")
            run.add(_SIZED[type_], f"len({value})")
            end_run()
            parts.append(value)
        else:
            end_run()
            parts.append(f"encode_table({value})")
    end_run()
    lines.append(f"return {' + '.join(parts)}")
    signature = f"encode({', '.join(f'a{index}' for index in range(len(arguments)))})"
    encoder: Callable[..., bytes]
    encoder = _encoders[method_id] = _define(signature, lines, names)
    return encoder


def _define(signature: str, lines: list[str], names: dict[str, Any]) -> Any:
    """Make a function from its lines; `names` are its globals."""
    exec(f"def {signature}:\n    " + "\n    ".join(lines), names)
    return names[signature.partition("(")[0]]
