"""Protobuf schemas: a `.proto` text, or a serialized descriptor in base64, as Confluent's clients in Python
send. Protobuf's own library says whether everything in it has its meaning.

What one message may become is said by the rules of the wire format: what a reader takes for something else
than was written is a difference; what it does not know it skips. Not here: services, options, extensions and
values of enumerations, none of which a reader can fail on; the order of messages in a file.

Source: Protocol Buffers, "Updating a message type"; Confluent, "Protobuf compatibility rules".
"""

from __future__ import annotations

import binascii
import re
from base64 import b64decode, b64encode
from collections.abc import Iterator, Sequence
from typing import Final

from google.protobuf import descriptor_pool
from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto, FileDescriptorProto
from google.protobuf.message import DecodeError

from pillarbox.ops.registry.formats import InvalidSchema, Known, Parsed, proto_text

BASE64: Final = re.compile(r"[A-Za-z0-9+/\s]+=*\s*")
OWN_NAME: Final = "default"
SERIALIZED: Final = "serialized"
WELL_KNOWN: Final = "google/protobuf/"
ELSEWHERE: Final = ("confluent/", "google/type/")
"""Imports that Confluent's registry brings along and this one does not: what uses them is not looked into."""

NUMERIC: Final = FieldDescriptorProto
ALIKE: Final = {
    **dict.fromkeys(
        (NUMERIC.TYPE_INT32, NUMERIC.TYPE_UINT32, NUMERIC.TYPE_INT64, NUMERIC.TYPE_UINT64, NUMERIC.TYPE_BOOL),
        "a varint",
    ),
    NUMERIC.TYPE_ENUM: "a varint",
    **dict.fromkeys((NUMERIC.TYPE_SINT32, NUMERIC.TYPE_SINT64), "a zigzag varint"),
    **dict.fromkeys((NUMERIC.TYPE_FIXED32, NUMERIC.TYPE_SFIXED32), "32 bits"),
    **dict.fromkeys((NUMERIC.TYPE_FIXED64, NUMERIC.TYPE_SFIXED64), "64 bits"),
    NUMERIC.TYPE_FLOAT: "a float",
    NUMERIC.TYPE_DOUBLE: "a double",
    **dict.fromkeys((NUMERIC.TYPE_STRING, NUMERIC.TYPE_BYTES), "bytes"),
    NUMERIC.TYPE_MESSAGE: "a message",
    NUMERIC.TYPE_GROUP: "a group",
}
"""What is on the wire, by type: types with the same can take each other's place."""
WHOLE: Final = ("bytes", "a message")
"""Of these a reader of one takes the last of many; of others it may find a packed list."""


def parse(text: str, references: Sequence[Known]) -> Parsed:
    """See `Format.parse`."""
    if BASE64.fullmatch(text):
        found = tree(text, references)
        kept = "".join(text.split())
        return Parsed(kept, kept, _bare(found).SerializeToString(deterministic=True), found)
    understood = proto_text.read(text)
    found = _resolved(proto_text.descriptor(understood), references)
    return Parsed(text, text, " ".join(proto_text.words(understood)).encode(), found)


def tree(text: str, references: Sequence[Known]) -> FileDescriptorProto:
    """See `Format.tree`."""
    return _resolved(_descriptor(text), references)


def rendered(text: str, references: Sequence[Known], wanted: str) -> str:
    """See `Format.rendered`."""
    if wanted != SERIALIZED or BASE64.fullmatch(text):
        return text
    return b64encode(tree(text, references).SerializeToString()).decode()


def _descriptor(text: str) -> FileDescriptorProto:
    if not BASE64.fullmatch(text):
        return proto_text.descriptor(proto_text.read(text))
    try:
        return FileDescriptorProto.FromString(b64decode("".join(text.split()), validate=True))
    except (binascii.Error, DecodeError):
        raise InvalidSchema("it is neither a .proto text nor a descriptor in base64") from None


def _bare(file: FileDescriptorProto) -> FileDescriptorProto:
    """Without the name of its file."""
    found = FileDescriptorProto()
    found.CopyFrom(file)
    found.ClearField("name")
    found.ClearField("source_code_info")
    return found


def _resolved(file: FileDescriptorProto, references: Sequence[Known]) -> FileDescriptorProto:
    """The same with the types of all fields known. Raises InvalidSchema where a name has no meaning."""
    named = {each.name for each in references}
    for path in file.dependency:
        if path.startswith(ELSEWHERE) and path not in named:
            return file
        if path not in named and not path.startswith(WELL_KNOWN):
            raise InvalidSchema(f'it imports "{path}", which is none of its references')
    pool = descriptor_pool.DescriptorPool()
    for each in references:
        _add(pool, _descriptor(each.text), each.name)
    name = file.name or OWN_NAME
    _add(pool, file, OWN_NAME if name in named else name)
    found = FileDescriptorProto()
    pool.FindFileByName(OWN_NAME if name in named else name).CopyToProto(found)
    return found


def _add(pool: descriptor_pool.DescriptorPool, file: FileDescriptorProto, name: str) -> None:
    for path in file.dependency:
        if path.startswith(WELL_KNOWN):
            _add_well_known(pool, path)
    copy = FileDescriptorProto()
    copy.CopyFrom(file)
    copy.name = name
    try:
        pool.Add(copy)
        pool.FindFileByName(name)
    except (TypeError, KeyError) as error:
        raise InvalidSchema(str(error).strip().replace("\n", "; ")) from None


def _add_well_known(pool: descriptor_pool.DescriptorPool, path: str) -> None:
    from google.protobuf import (  # noqa: F401
        any_pb2,
        api_pb2,
        duration_pb2,
        empty_pb2,
        field_mask_pb2,
        source_context_pb2,
        struct_pb2,
        timestamp_pb2,
        type_pb2,
        wrappers_pb2,
    )

    try:
        pool.FindFileByName(path)
    except KeyError:
        found = FileDescriptorProto()
        try:
            descriptor_pool.Default().FindFileByName(path).CopyToProto(found)
        except KeyError:
            raise InvalidSchema(f'there is no "{path}"') from None
        for each in found.dependency:
            _add_well_known(pool, each)
        pool.Add(found)


# --- comparing -------------------------------------------------------------------------------------------


def differences(reader: FileDescriptorProto, writer: FileDescriptorProto) -> list[str]:
    """See `Format.differences`."""
    if reader.package != writer.package:
        return [f'the package is "{reader.package}" and was "{writer.package}"']
    found = []
    own = dict(_messages(reader.message_type, ""))
    for name, written in _messages(writer.message_type, ""):
        if name in own:
            found += [f"{name}.{each}" for each in _between(own[name], written)]
        elif not written.options.map_entry:
            found.append(f"{name} is not there any more")
    return found


def _messages(all_of: Sequence[DescriptorProto], prefix: str) -> Iterator[tuple[str, DescriptorProto]]:
    for message in all_of:
        name = prefix + message.name
        yield name, message
        yield from _messages(message.nested_type, f"{name}.")


def _between(reader: DescriptorProto, writer: DescriptorProto) -> Iterator[str]:
    """Differences between two messages of one name."""
    own = {field.number: field for field in reader.field}
    written = {field.number: field for field in writer.field}
    for number, field in written.items():
        if number in own:
            why = _why_other(own[number], field)
            if why:
                yield f"{own[number].name} = {number} {why}"
    for number, field in own.items():
        required = field.label == field.LABEL_REQUIRED
        if required and (number not in written or written[number].label != field.LABEL_REQUIRED):
            yield f"{field.name} = {number} is required, and need not have been written"
    yield from _gathered(reader, own, written)


def _why_other(reader: FieldDescriptorProto, writer: FieldDescriptorProto) -> str:
    """Why a reader does not understand a field of one number as it was written; empty if it does."""
    now, then = _wire(reader), _wire(writer)
    if now != then:
        return f"is {now} and was {then}"
    if now == "a message" and _last(reader.type_name) != _last(writer.type_name):
        return f"is a {reader.type_name} and was a {writer.type_name}"
    lists = [field.label == field.LABEL_REPEATED for field in (reader, writer)]
    if lists[0] != lists[1] and now not in WHOLE:
        return "is a list and was none" if lists[0] else "was a list and is none"
    return ""


def _wire(field: FieldDescriptorProto) -> str:
    # Where imports are not looked up, a name may be that of an enumeration as well.
    return ALIKE[field.type] if field.HasField("type") else "a named type"


def _last(name: str) -> str:
    return name.removeprefix(".")


def _gathered(
    reader: DescriptorProto, own: dict[int, FieldDescriptorProto], written: dict[int, FieldDescriptorProto]
) -> Iterator[str]:
    """Fields that could stand side by side and are alternatives now: of two, one would be lost."""
    for place, oneof in enumerate(reader.oneof_decl):
        free = [
            field.name
            for number, field in own.items()
            if field.HasField("oneof_index")
            and field.oneof_index == place
            and number in written
            and (not written[number].HasField("oneof_index") or written[number].proto3_optional)
        ]
        if len(free) > 1:
            yield f"{oneof.name} gathers {', '.join(free)}, which were free"
