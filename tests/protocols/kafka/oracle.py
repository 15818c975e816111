"""kio's messages as the oracle of ours: random instances, their bytes, and the same values in our classes.

kio is generated from the same definitions by somebody else. It has a class for each version, durations and
dates where Kafka has milliseconds, None for the id that is no id, and the default instance where we have None
for a tagged struct that is not sent.
"""

from __future__ import annotations

import dataclasses
import datetime
import io
import random
import typing
import uuid
from functools import cache
from importlib import import_module
from typing import Any

import msgspec
from kio.schema.errors import ErrorCode
from kio.serial import entity_writer

from pillarbox.protocols.kafka.messages import APIS
from pillarbox.protocols.kafka.wire import NO_UUID

EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
MS = datetime.timedelta(milliseconds=1)
WORDS = ("", "a", "orders", "naïve Käfer 東京", "x" * 126, "y" * 127, "z" * 300)
BLOBS = (b"", b"\x00", b"batch", bytes(range(200)), b"r" * 20_000)
ERROR_CODES = list(ErrorCode)
SERVED = [
    (key, version) for key, api in APIS.items() for version in range(api.versions[0], api.versions[1] + 1)
]


@cache
def kio_class(key: int, version: int, side: str) -> Any:
    """Return kio's class of a "request" or "response"."""
    module = import_module(f"kio.schema.{APIS[key].module}.v{version}.{side}")
    return getattr(module, f"{APIS[key].name}{side.capitalize()}")


@cache
def our_class(key: int, side: str) -> Any:
    """Return our class of a "request" or "response"."""
    module = import_module(f"pillarbox.protocols.kafka.messages.{APIS[key].module}")
    return getattr(module, f"{APIS[key].name}{side.capitalize()}")


def encoded(value: Any) -> bytes:
    """Return what kio makes of one of its instances."""
    buffer = io.BytesIO()
    entity_writer(type(value))(buffer, value)
    return buffer.getvalue()


def whole_number(bits: int, signed: bool, rng: random.Random) -> int:
    low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)
    return rng.choice((low, -1 if signed else 1, 0, 1, high, rng.randint(low, high)))


PRIMITIVES: dict[str, Any] = {
    "int8": lambda rng: whole_number(8, True, rng),
    "int16": lambda rng: whole_number(16, True, rng),
    "int32": lambda rng: whole_number(32, True, rng),
    "int64": lambda rng: whole_number(64, True, rng),
    "uint16": lambda rng: whole_number(16, False, rng),
    "float64": lambda rng: rng.choice((0.0, -1.5, rng.random())),
    "bool": lambda rng: rng.random() < 0.5,
    "string": lambda rng: rng.choice(WORDS),
    "bytes": lambda rng: rng.choice(BLOBS),
    "records": lambda rng: rng.choice(BLOBS),
    "uuid": lambda rng: uuid.UUID(int=rng.getrandbits(128) | 1),
    "error_code": lambda rng: rng.choice(ERROR_CODES),
    "timedelta_i32": lambda rng: whole_number(32, True, rng) * MS,
    "timedelta_i64": lambda rng: rng.randrange(-(10**12), 10**12) * MS,
    "datetime_i64": lambda rng: EPOCH + rng.randrange(4 * 10**12) * MS,
}


def parts(field: Any) -> tuple[Any, bool, bool]:
    """Return the type of one item of a kio field, whether the field is an array, whether it may be None."""
    kind, optional = field.type, False
    arguments = typing.get_args(kind)
    if type(None) in arguments:
        optional = True
        kind = next(each for each in arguments if each is not type(None))
    is_array = typing.get_origin(kind) is tuple
    return (typing.get_args(kind)[0] if is_array else kind), is_array, optional


def instance(kio_type: Any, rng: random.Random, *, items_max: int = 3) -> Any:
    """Return a random instance of a kio class, with at most `items_max` items in each array."""

    def value(field: Any) -> Any:
        kind, is_array, optional = parts(field)
        if optional and rng.random() < 0.25:
            return None
        if "tag" in field.metadata and field.default is not dataclasses.MISSING and rng.random() < 0.4:
            return field.default

        def one() -> Any:
            if dataclasses.is_dataclass(kind):
                return instance(kind, rng, items_max=items_max)
            return PRIMITIVES[field.metadata["kafka_type"]](rng)

        return tuple(one() for _ in range(rng.randint(0, items_max))) if is_array else one()

    return kio_type(**{field.name: value(field) for field in dataclasses.fields(kio_type)})


def smallest(kio_type: Any) -> Any:
    """Return the instance that takes the fewest bytes with two items in each array."""

    def value(field: Any) -> Any:
        kind, is_array, optional = parts(field)
        if "tag" in field.metadata and field.default is not dataclasses.MISSING:
            return field.default
        if optional and not is_array:
            return None
        if dataclasses.is_dataclass(kind):
            one = smallest(kind)
        else:
            kafka_type = field.metadata["kafka_type"]
            one = {"string": "", "bytes": b"", "records": b""}.get(kafka_type)
            one = PRIMITIVES[kafka_type](random.Random(0)) if one is None else one
        return (one, one) if is_array else one

    return kio_type(**{field.name: value(field) for field in dataclasses.fields(kio_type)})


@cache
def hints(our_type: Any) -> dict[str, Any]:
    return typing.get_type_hints(our_type)


def struct_in(hint: Any) -> Any:
    """Return the struct in a type such as `list[X] | None`; None if there is none."""
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        return hint
    return next((found for each in typing.get_args(hint) if (found := struct_in(each))), None)


def ours(value: Any, our_type: Any) -> Any:
    """Return the instance of our class with the values of kio's."""
    ours_by_name = hints(our_type)
    arguments = {}
    for field in dataclasses.fields(value):
        name = field.name if field.name in ours_by_name else f"{field.name}_ms"
        inner = struct_in(ours_by_name[name])
        content = getattr(value, field.name)
        if inner and "tag" in field.metadata and content == field.default and not isinstance(content, tuple):
            arguments[name] = None
        else:
            arguments[name] = plain(content, inner, field.metadata.get("kafka_type"))
    return our_type(**arguments)


def plain(content: Any, inner: Any, kafka_type: str | None) -> Any:
    if isinstance(content, tuple):
        return [plain(each, inner, kafka_type) for each in content]
    if dataclasses.is_dataclass(content):
        return ours(content, inner)
    if isinstance(content, ErrorCode):
        return content.value
    if isinstance(content, datetime.timedelta):
        return content // MS
    if isinstance(content, datetime.datetime):
        return (content - EPOCH) // MS
    if isinstance(content, uuid.UUID):
        return content.bytes
    if content is None and kafka_type in ("uuid", "datetime_i64"):
        return NO_UUID if kafka_type == "uuid" else -1
    return content
