"""The language of `.proto` files: a text as the descriptor that protoc would make of it, but for options.

A grammar for syntax 2 and 3; what names mean is left to whoever loads the descriptor. Of options only those
count that change how a field is written down: `packed`, `default`, `json_name`. Not here: groups, editions.

Source: Protocol Buffers, "Language Specification" of proto2 and proto3.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from typing import Any, Final

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
)
from lark import Lark, Token, Tree
from lark.exceptions import LarkError

from pillarbox.ops.registry.formats import InvalidSchema

GRAMMAR: Final = r"""
    start: [syntax] _statement*
    syntax: "syntax" "=" STRING ";"
    _statement: package | import | _option | message | enum | service | extend | ";"
    package: "package" names ";"
    import: "import" [IMPORTED] STRING ";"
    _option: "option" option ";"
    option: option_name "=" _constant
    option_name: (names | "(" names ")")+
    _constant: names | NUMBER | text | group
    text: STRING+
    group: "{" (group_field ["," | ";"])* "}"
    group_field: (names | "[" names ["/" names] "]") (":" _value | group)
    _value: _constant | "[" [_value ("," _value)*] "]"

    message: "message" NAME "{" _member* "}"
    _member: field | map | oneof | message | enum | extend | extensions | reserved | _option | ";"
    field: [LABEL] names NAME "=" NUMBER [options] ";"
    options: "[" option ("," option)* "]"
    map: "map" "<" names "," names ">" NAME "=" NUMBER [options] ";"
    oneof: "oneof" NAME "{" (_option | field | ";")* "}"
    extensions: "extensions" range ("," range)* [options] ";"
    reserved: "reserved" (range ("," range)* | STRING ("," STRING)*) ";"
    range: NUMBER ["to" (NUMBER | MAX)]
    extend: "extend" names "{" (field | ";")* "}"
    enum: "enum" NAME "{" (_option | enum_value | reserved | ";")* "}"
    enum_value: NAME "=" NUMBER [options] ";"
    service: "service" NAME "{" (_option | rpc | ";")* "}"
    rpc: "rpc" NAME "(" [STREAM] names ")" "returns" "(" [STREAM] names ")" (";" | "{" (_option | ";")* "}")

    ?names: NAME | NAMES

    LABEL.1: /(optional|required|repeated)\b/
    IMPORTED: "public" | "weak"
    STREAM: "stream"
    MAX: "max"
    NAME: /[A-Za-z_]\w*/
    NAMES: /\.[A-Za-z_]\w*(\.[A-Za-z_]\w*)*|[A-Za-z_]\w*(\.[A-Za-z_]\w*)+/
    NUMBER: /([-+]\s*)?(0[xX][0-9a-fA-F]+|(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?|inf\b|nan\b)/
    STRING: /"(\\.|[^"\\\n])*"|'(\\.|[^'\\\n])*'/
    COMMENT: /\/\/[^\n]*|\/\*(.|\n)*?\*\//
    WHITE: /\s+/
    %ignore COMMENT
    %ignore WHITE
"""

LABELS: Final = {
    None: FieldDescriptorProto.LABEL_OPTIONAL,
    "optional": FieldDescriptorProto.LABEL_OPTIONAL,
    "required": FieldDescriptorProto.LABEL_REQUIRED,
    "repeated": FieldDescriptorProto.LABEL_REPEATED,
}
SCALARS: Final = {
    name.removeprefix("TYPE_").lower(): number
    for name, number in FieldDescriptorProto.Type.items()
    if name not in ("TYPE_GROUP", "TYPE_MESSAGE", "TYPE_ENUM")
}
NUMBER_MAX: Final = 2**29 - 1
TEXT_MAX: Final = 256 << 10
"""Characters: reading so many takes two seconds. A descriptor may be as large as any schema."""
OWN_NUMBERS: Final = range(19_000, 20_000)
ENUM_MAX: Final = 2**31 - 1


@cache
def _parser() -> Lark:
    return Lark(GRAMMAR, parser="lalr", maybe_placeholders=True)


def read(text: str) -> Tree[Token]:
    """The text, understood. Raises InvalidSchema."""
    if len(text) > TEXT_MAX:
        raise InvalidSchema(f"a .proto text may have {TEXT_MAX} characters")
    try:
        return _parser().parse(text)
    except LarkError as error:
        raise InvalidSchema(str(error).strip().partition("\n")[0]) from None


def words(tree: Tree[Token]) -> Iterator[str]:
    """Words of a tree in order, each branch within brackets of its kind."""
    waiting: list[Any] = [tree]
    while waiting:
        one = waiting.pop()
        if isinstance(one, Tree):
            yield f"({one.data}"
            waiting += [")", *reversed(one.children)]
        elif one is not None:
            yield str(one)


def descriptor(tree: Tree[Token]) -> FileDescriptorProto:
    """What a text declares. Raises InvalidSchema."""
    return _File().read(tree)


class _File:
    """One text on its way to a descriptor."""

    def __init__(self) -> None:
        self.file = FileDescriptorProto()
        self.is_proto3 = False

    def read(self, tree: Tree[Token]) -> FileDescriptorProto:
        parts: list[Any] = tree.children
        syntax, *statements = parts
        word = "proto2" if syntax is None else _string(syntax.children[0])
        if word not in ("proto2", "proto3"):
            raise InvalidSchema(f"Unrecognized syntax '{word}'")
        self.is_proto3 = word == "proto3"
        if self.is_proto3:
            self.file.syntax = word
        for statement in statements:
            getattr(self, f"_{statement.data}", _ignore)(self.file, *statement.children)
        return self.file

    # --- statements of the file ------------------------------------------------------------------------

    def _package(self, into: FileDescriptorProto, name: str) -> None:
        into.package = name

    def _import(self, into: FileDescriptorProto, kind: str | None, path: Token) -> None:
        into.dependency.append(_string(path))
        if kind == "public":
            into.public_dependency.append(len(into.dependency) - 1)

    def _message(self, into: Any, name: str, *members: Any) -> None:
        added = into.message_type if isinstance(into, FileDescriptorProto) else into.nested_type
        message = added.add(name=name)
        for member in members:
            getattr(self, f"_{member.data}", _ignore)(message, *member.children)
        _demand_unreserved(message)
        self._add_synthetic(message)

    def _add_synthetic(self, message: DescriptorProto) -> None:
        """A field of proto3 that says `optional` is alone in a oneof, behind all others."""
        for field in message.field:
            if field.proto3_optional:
                field.oneof_index = len(message.oneof_decl)
                message.oneof_decl.add(name=f"_{field.name}")

    def _enum(self, into: Any, name: str, *members: Any) -> None:
        enum: EnumDescriptorProto = into.enum_type.add(name=name)
        for member in members:
            if member.data == "enum_value":
                value = _integer(member.children[1], -ENUM_MAX - 1, ENUM_MAX)
                enum.value.add(name=str(member.children[0]), number=value)
            elif member.data == "reserved":
                self._reserve(enum, member.children, ENUM_MAX, end_counts=True)
            elif _option_name(member) == "allow_alias":
                enum.options.allow_alias = member.children[1] == "true"

    def _extend(self, into: Any, extendee: str, *members: Any) -> None:
        for member in members:
            self._fill(into.extension.add(extendee=extendee), *member.children)

    def _service(self, into: FileDescriptorProto, name: str, *members: Any) -> None:
        service = into.service.add(name=name)
        for member in members:
            if member.data == "rpc":
                called, client_streams, taken, server_streams, given = member.children[:5]
                service.method.add(
                    name=called,
                    input_type=taken,
                    output_type=given,
                    client_streaming=client_streams is not None,
                    server_streaming=server_streams is not None,
                )

    # --- members of a message --------------------------------------------------------------------------

    def _field(self, into: DescriptorProto, *parts: Any) -> None:
        self._fill(into.field.add(), *parts)

    def _fill(
        self,
        field: FieldDescriptorProto,
        label: str | None,
        kind: str,
        name: str,
        number: Token,
        options: Any,
    ) -> None:
        if self.is_proto3 and label == "required":
            raise InvalidSchema(f"field {name}: proto3 has no required fields")
        if not self.is_proto3 and label is None and not field.HasField("oneof_index"):
            raise InvalidSchema(f"field {name}: proto2 wants a label")
        field.name = name
        field.number = _integer(number, 1, NUMBER_MAX)
        if field.number in OWN_NUMBERS:
            raise InvalidSchema(f"field {name}: {field.number} is a number of Protobuf's own")
        field.label = LABELS[label]
        field.proto3_optional = self.is_proto3 and label == "optional"
        if kind in SCALARS:
            field.type = SCALARS[kind]
        else:
            field.type_name = kind
        for option in options.children if options is not None else ():
            self._take_option(field, option)

    def _take_option(self, field: FieldDescriptorProto, option: Any) -> None:
        name, value = _option_name(option), option.children[1]
        text = _text(value) if isinstance(value, Tree) else str(value)
        if name == "packed":
            field.options.packed = text == "true"
        elif name == "default":
            field.default_value = text
        elif name == "json_name":
            field.json_name = text

    def _map(
        self, into: DescriptorProto, key: str, value: str, name: str, number: Token, options: Any
    ) -> None:
        entry = "".join(part[:1].upper() + part[1:] for part in name.split("_")) + "Entry"
        nested = into.nested_type.add(name=entry)
        nested.options.map_entry = True
        for place, (word, kind) in enumerate((("key", key), ("value", value)), 1):
            field = nested.field.add(name=word, number=place, label=FieldDescriptorProto.LABEL_OPTIONAL)
            if kind in SCALARS:
                field.type = SCALARS[kind]
            else:
                field.type_name = kind
        into.field.add(
            name=name,
            number=_integer(number, 1, NUMBER_MAX),
            label=FieldDescriptorProto.LABEL_REPEATED,
            type=FieldDescriptorProto.TYPE_MESSAGE,
            type_name=entry,
        )

    def _oneof(self, into: DescriptorProto, name: str, *members: Any) -> None:
        place = len(into.oneof_decl)
        into.oneof_decl.add(name=name)
        for member in members:
            if member.data == "field":
                if member.children[0] is not None:
                    raise InvalidSchema(f"oneof {name}: fields have no labels there")
                self._fill(into.field.add(oneof_index=place), *member.children)

    def _reserved(self, into: DescriptorProto, *parts: Any) -> None:
        self._reserve(into, parts, NUMBER_MAX, end_counts=False)

    def _reserve(self, into: Any, parts: Any, number_max: int, *, end_counts: bool) -> None:
        for part in parts:
            if isinstance(part, Tree):
                first, end = _range(part, number_max)
                into.reserved_range.add(start=first, end=end if end_counts else end + 1)
            else:
                into.reserved_name.append(_string(part))

    def _extensions(self, into: DescriptorProto, *parts: Any) -> None:
        for part in parts:
            if part is not None and part.data == "range":
                first, end = _range(part, NUMBER_MAX)
                into.extension_range.add(start=first, end=end + 1)


def _demand_unreserved(message: DescriptorProto) -> None:
    for field in message.field:
        taken = any(each.start <= field.number < each.end for each in message.reserved_range)
        if taken or field.name in message.reserved_name:
            raise InvalidSchema(f"field {field.name} = {field.number} is reserved")


def _ignore(*parts: Any) -> None:
    """An option."""


def _option_name(option: Any) -> str:
    return ".".join(map(str, option.children[0].children)) if option.data == "option" else ""


def _range(tree: Any, number_max: int) -> tuple[int, int]:
    low = -number_max - 1
    first = _integer(tree.children[0], low, number_max)
    last = tree.children[1]
    if last is None:
        return first, first
    return first, number_max if last == "max" else _integer(last, first, number_max)


def _integer(token: str, low: int, high: int) -> int:
    text = "".join(token.split())
    try:
        is_octal = text.lstrip("+-").startswith("0") and text.lstrip("+-").isdigit()
        found = int(text, 8) if is_octal else int(text, 0)
    except ValueError:
        raise InvalidSchema(f"{text} is no integer") from None
    if not low <= found <= high:
        raise InvalidSchema(f"{text} is not between {low} and {high}")
    return found


def _string(token: Any) -> str:
    try:
        found = ast.literal_eval(str(token))
    except (ValueError, SyntaxError):
        raise InvalidSchema(f"{token} is no string") from None
    return str(found)


def _text(tree: Any) -> str:
    """Strings that stand one after another are one."""
    return "".join(map(_string, tree.children)) if tree.data == "text" else ""
