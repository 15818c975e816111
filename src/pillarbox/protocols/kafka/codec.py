"""The way from bytes to requests and from responses to bytes, headers included.

Not here: the layouts (`messages`, generated), the four bytes of size before each message, which key is served
and what a request means.

Invariant: whatever the bytes, nothing but `WireError` leaves `decode_header` and `decode_request`. What they
make is bounded by the bytes they are given, because counts are compared with what is left of them.

Source: Kafka's protocol guide, "Protocol Common"; KIP-482 (header versions), KIP-511 (the answer to
ApiVersions); row K1, trap T5.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from struct import Struct
from typing import Any, Final, NamedTuple

from pillarbox.protocols.kafka.messages import APIS
from pillarbox.protocols.kafka.wire import (
    FAULTS,
    NO_TAGS,
    WireError,
    read_nullable_string,
    skip_tags,
)

API_VERSIONS: Final = 18
HEADER: Final = Struct(">hhi")
CORRELATION: Final = Struct(">i")


class RequestHeader(NamedTuple):
    """What stands before every request."""

    key: int
    version: int
    correlation_id: int
    client_id: str | None


class Codec(NamedTuple):
    """The messages of one API key, by version; the classes of their values are in `messages`."""

    decoders: dict[int, Callable[[bytes, int], tuple[Any, int]]]
    encoders: dict[int, Callable[[Any, Callable[[bytes], None]], None]]


_codecs: dict[int, Codec] = {}


def codec(key: int) -> Codec:
    """Return the codec of a key of `APIS`; its module is imported when it is first asked for."""
    found = _codecs.get(key)
    if found is None:
        module = import_module(f"pillarbox.protocols.kafka.messages.{APIS[key].module}")
        found = _codecs[key] = Codec(module.DECODERS, module.ENCODERS)
    return found


def decode_header(data: bytes) -> tuple[RequestHeader, int]:
    """Read a request's header; return it and where the request begins.

    The header of an ApiVersions request in a version that nobody knows is read as one with tagged fields, as
    the versions that will come have them. Of other keys that are unknown only the first form is read.
    Raises WireError if the bytes are no header.
    """
    try:
        key, version, correlation_id = HEADER.unpack_from(data, 0)
        client_id, at = read_nullable_string(data, HEADER.size)
        api = APIS.get(key)
        if api is not None and version >= api.flexible:
            at = skip_tags(data, at)
    except FAULTS as fault:
        raise WireError(f"no request header: {fault}") from None
    return RequestHeader(key, version, correlation_id, client_id), at


def decode_request(key: int, version: int, data: bytes, at: int) -> tuple[Any, int]:
    """Read a request that begins at `at`; return it and how many bytes are left behind it.

    Whether bytes that are left matter, the caller decides. Raises WireError if the bytes are no such request,
    KeyError if the version cannot be decoded.
    """
    decoder = codec(key).decoders[version]
    try:
        request, end = decoder(data, at)
    except FAULTS as fault:
        raise WireError(f"no {APIS[key].name} request of version {version}: {fault}") from None
    return request, len(data) - end


def encode_response(key: int, version: int, correlation_id: int, response: object) -> list[bytes]:
    """Return a response with its header, in pieces to be joined or written one after the other.

    The header of ApiVersions has no tagged fields in any version, so that a client can read it before it
    knows anything about the broker. Raises KeyError if the version cannot be encoded.
    """
    pieces = [CORRELATION.pack(correlation_id)]
    if version >= APIS[key].flexible and key != API_VERSIONS:
        pieces.append(NO_TAGS)
    codec(key).encoders[version](response, pieces.append)
    return pieces
