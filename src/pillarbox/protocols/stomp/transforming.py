"""Transformations: the header `transformation` of SEND and of SUBSCRIBE, in ActiveMQ's dialect (A11).

On SEND it says what the body is: `jms-map-xml`, `jms-map-json`, `jms-object-xml` or `jms-object-json`. A body
that is none is sent as the text that it is, and `transformation-error` says why. On SUBSCRIBE it says how the
subscription wants maps, objects and what advisories tell: all that ends with `json` is JSON, the others are
XML, and of `jms-json` and `jms-xml` MESSAGE tells what it is. A body with a `content-length` is bytes and
stays what it is.

A message rests as it was sent, with `KIND` among its headers, and is put into another form when a
subscription asks for that (`Subscription.looks`); those that ask for nothing take no step for it. Departures:
a subscription that asks for nothing gets what was sent, where ActiveMQ sends an empty body; an object of any
class is one, as nothing is made of it; the order of a map's entries stays.

Source: ActiveMQ, "Stomp: Message Transformations"; 5.17.2 asked by `tests/compare_messaging`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import msgspec

from pillarbox.protocols.stomp import structures
from pillarbox.protocols.stomp.headers import KIND

if TYPE_CHECKING:
    from pillarbox.broker.dialects import Dialects
    from pillarbox.engine.base import Body, Message
    from pillarbox.protocols.stomp.structures import Element

TRANSFORMATION: Final = "transformation"
FAULT: Final = "transformation-error"
MAP, OBJECT, ADVISORY, TEXT, BYTES = "map", "object", "advisory", "text", "bytes"
STRUCTURES: Final = (MAP, OBJECT, ADVISORY)

SENT: Final = {
    f"jms-{kind}-{form}": (kind, read)
    for kind in (MAP, OBJECT)
    for form, read in (("xml", structures.read_xml), ("json", structures.read_json))
}
"""What a SEND may say that its body is."""
WANTED: Final = (*SENT, "jms-advisory-xml", "jms-advisory-json", "jms-xml", "jms-json", "jms-byte")
"""What a subscription may want; anything else changes nothing."""
WHATEVER_KIND: Final = {"jms-xml": "jms-{}-xml", "jms-json": "jms-{}-json"}
"""Of these MESSAGE tells what it is."""


def note_sent(headers: dict[str, str], body: Body, *, is_bytes: bool) -> None:
    """Note what the body of a SEND is that has the header; `is_bytes`: it has a `content-length`."""
    asked = headers[TRANSFORMATION]
    headers.pop(KIND, None)
    headers.pop(FAULT, None)
    headers[KIND] = BYTES if is_bytes else TEXT
    if is_bytes or asked not in SENT:
        if asked in WANTED and asked != "jms-byte" and not is_bytes:
            headers[FAULT] = f"Unknown transformation: {asked}"
        return
    kind, read = SENT[asked]
    try:
        found = read(bytes(body))
        if kind == MAP:
            structures.demand_map(found)
    except ValueError as fault:
        headers[FAULT] = str(fault)
    else:
        headers[KIND] = kind


def transformer(asked: str | None, dialects: Dialects) -> Callable[[Message], Message] | None:
    """What puts messages into the form that a subscription asks for; None: it asks for none."""
    if asked not in WANTED:
        return None
    as_json = asked.endswith("json")

    def transform(message: Message) -> Message:
        dialect = dialects.of(message.address.origin)
        if dialect is None:
            return message
        said = dialect.read(message)
        kind = said.headers.get(KIND)
        body = message.body
        if kind in STRUCTURES:
            told = WHATEVER_KIND.get(asked, asked).format(kind)
            try:
                was_json = str(said.headers.get(TRANSFORMATION)).endswith("json")
                # What the broker tells itself is as ActiveMQ writes it; what others send is written anew.
                if kind != ADVISORY or was_json != as_json:
                    body = _write(_read(bytes(body), was_json), as_json)
            except ValueError:
                # Somebody has put the header there: the message comes as it is.
                return message
        elif kind == TEXT:
            told = asked
        else:
            return message
        said = msgspec.structs.replace(said, headers=said.headers | {TRANSFORMATION: told})
        changed = msgspec.structs.replace(message, body=body)
        return msgspec.structs.replace(changed, properties=dialect.write(said, changed))

    return transform


def _read(body: bytes, as_json: bool) -> Element:
    return structures.read_json(body) if as_json else structures.read_xml(body)


def _write(element: Element, as_json: bool) -> bytes:
    return structures.write_json(element) if as_json else structures.write_xml(element)
