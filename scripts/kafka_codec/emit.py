"""Writes the module of one API key: its structs, a decoder for each layout of the request, an encoder for
each layout of the response.

Decoders and encoders are flat: a function per layout, nested structs as loops in it, fixed-size fields that
follow each other as one `struct` call. Versions that come out the same share the function, which is named
after the first of them.
"""

from __future__ import annotations

import keyword
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby

from pillarbox.protocols.kafka import wire
from scripts.kafka_codec.schema import FIXED, Field, Message, Struct

PYTHON_TYPES = {
    "bool": "bool",
    "float64": "float",
    "string": "str",
    "bytes": "bytes",
    "records": "bytes",
    "uuid": "bytes",
}
"""Of primitive types; all others are `int`."""
ZEROS = {
    "bool": "False",
    "float64": "0.0",
    "string": '""',
    "bytes": 'b""',
    "records": "None",
    "uuid": "NO_UUID",
}
STEP = "    "
WIRE_NAMES = {name for name in vars(wire) if not name.startswith("_")} - {"Struct", "Final", "Callable"}
"""What a module may import from `wire`."""
RESERVED = {"data", "at", "end", "tag", "add", "message", "_"} | WIRE_NAMES
"""Names that the functions use themselves."""


class Names:
    """Local names of one function: unique, so that each has one type."""

    def __init__(self) -> None:
        self._taken: set[str] = set(RESERVED)

    def new(self, name: str, owner: str = "") -> str:
        """Return `name`, or a longer one if it is taken, after the struct that it is part of."""
        if keyword.iskeyword(name):
            name += "_"
        options = [name, f"{owner}_{name}" if owner else f"{name}_value"]
        options += [f"{options[1]}_{number}" for number in range(2, 100)]
        chosen = next(option for option in options if option not in self._taken)
        self._taken.add(chosen)
        return chosen


def singular(name: str) -> str:
    """Return what one of `name` is called."""
    if name.endswith("ies"):
        return name[:-3] + "y"
    if name.endswith("sses"):
        return name[:-2]
    if name.endswith("s") and not name.endswith("ss"):
        return name[:-1]
    return f"{name}_item"


def is_nullable(each: Field, version: int) -> bool:
    """May it be null in this version? Records always may: Kafka's own reader lets them."""
    return version in each.nullable or (each.kind == "records" and not each.is_array)


@dataclass
class Layouts:
    """Functions of one direction, each for the versions whose layout it writes or reads."""

    prefix: str
    bodies: dict[str, list[int]] = field(default_factory=dict)

    def add(self, version: int, body: Sequence[str]) -> None:
        self.bodies.setdefault("\n".join(body), []).append(version)

    def name(self, versions: list[int]) -> str:
        return f"{self.prefix}_{versions[0]}"

    def table(self) -> dict[int, str]:
        named = ((version, self.name(versions)) for versions in self.bodies.values() for version in versions)
        return dict(sorted(named))


class Module:
    """The text of one API key's module."""

    def __init__(self, request: Message, response: Message, source: str) -> None:
        self._request = request
        self._response = response
        self._source = source
        self._formats: dict[str, str] = {}
        self._class_names = _class_names(request.struct, response.struct)

    def text(self) -> str:
        """Return the module, before it is formatted."""
        decoders = Layouts("decode")
        encoders = Layouts("encode")
        for version in self._request.versions:
            decoder = Decoder(self, version in self._request.flexible, version)
            decoders.add(version, decoder.body(self._request.struct))
            encoder = Encoder(self, version in self._response.flexible, version)
            encoders.add(version, encoder.body(self._response.struct))
        request, response = self._request.struct.name, self._response.struct.name
        body = [
            *self._classes(),
            *(f"{name} = Struct({layout!r})" for layout, name in self._formats.items()),
            *self._functions(decoders, f"(data: bytes, at: int) -> tuple[{request}, int]"),
            *self._functions(encoders, f"(message: {response}, add: Callable[[bytes], None]) -> None"),
            "\n",
            f"DECODERS: Final[dict[int, Callable[[bytes, int], tuple[{request}, int]]]] = {{",
            *(f"{STEP}{version}: {name}," for version, name in decoders.table().items()),
            "}",
            f"ENCODERS: Final[dict[int, Callable[[{response}, Callable[[bytes], None]], None]]] = {{",
            *(f"{STEP}{version}: {name}," for version, name in encoders.table().items()),
            "}",
        ]
        return "\n".join([*self._head("\n".join(body)), *body]) + "\n"

    def class_name(self, struct: Struct) -> str:
        """Return the class that holds a struct's values."""
        return self._class_names[id(struct)]

    def format(self, letters: str) -> str:
        """Return the name of the `struct.Struct` for these letters."""
        return self._formats.setdefault(f">{letters}", f"FIXED_{len(self._formats) + 1}")

    def _head(self, body: str) -> Iterator[str]:
        versions = self._request.versions
        name = self._request.struct.name.removesuffix("Request")
        first, last = versions[0], versions[-1]
        span = f"version {first}" if first == last else f"versions {first} to {last}"
        yield f'"""{name}, key {self._request.key}, {span}: requests decoded, responses encoded.'
        yield ""
        yield f"Written by `make kafka-codec` from {self._source}:"
        yield "change scripts/kafka_codec, not this file."
        yield '"""'
        yield "from __future__ import annotations"
        yield "from collections.abc import Callable"
        if "= Struct(" in body:
            yield "from struct import Struct"
        yield "from typing import Final"
        yield "import msgspec"
        used = sorted({word for word in re.findall(r"(?<![.\w])\w+", body) if word in WIRE_NAMES})
        if used:
            yield "from pillarbox.protocols.kafka.wire import (" + ", ".join(used) + ")"

    def _classes(self) -> Iterator[str]:
        for message in (self._request, self._response):
            for struct in _structs(message.struct):
                yield f"class {self.class_name(struct)}(msgspec.Struct, gc=False):"
                if not struct.fields:
                    yield f'{STEP}"""Without fields of its own."""'
                for each in struct.fields:
                    yield STEP + self._attribute(each, message)
                yield "\n"

    def _attribute(self, each: Field, message: Message) -> str:
        name = self.class_name(each.struct) if each.struct else PYTHON_TYPES.get(each.kind, "int")
        python_type = f"list[{name}]" if each.is_array else name
        left_out = bool(each.tagged) and each.struct is not None and not each.is_array
        if each.nullable or left_out or each.kind == "records":
            python_type += " | None"
        default = "None" if left_out else self.default(each)
        return f"{each.name}: {python_type} = {default}{_span(each, message)}"

    def default(self, each: Field) -> str:
        """Return the value that stands for what was not sent, as Python writes it."""
        if each.default == "null":
            return "None"
        if each.is_array:
            return "[]"
        if each.struct:
            return f"msgspec.field(default_factory={self.class_name(each.struct)})"
        if each.default in (None, "") or each.kind in ("uuid", "bytes", "records"):
            return ZEROS.get(each.kind, "0")
        if each.kind == "string":
            return f'"{each.default}"'
        if each.kind == "bool":
            return str(each.default.lower() == "true")
        return str(float(each.default) if each.kind == "float64" else int(each.default, 0))

    def _functions(self, layouts: Layouts, signature: str) -> Iterator[str]:
        for body, versions in layouts.bodies.items():
            yield "\n"
            yield f"def {layouts.name(versions)}{signature}:"
            yield body


class Decoder:
    """Writes the decoder of one version."""

    def __init__(self, module: Module, flexible: bool, version: int) -> None:
        self._module = module
        self._flexible = flexible
        self._version = version
        self._names = Names()
        self._lines: list[str] = []
        self._in_tag = False

    def body(self, struct: Struct) -> list[str]:
        """Return the function's lines."""
        value = self._struct(struct, STEP, "")
        return [*self._lines, f"{STEP}return {value}, at"]

    def _struct(self, struct: Struct, indent: str, owner: str) -> str:
        """Write what reads a struct's fields; return the expression that makes it of them."""
        present = [each for each in struct.fields if self._version in each.versions]
        values = {}
        plain = [each for each in present if self._version not in each.tagged]
        for fixed, run in groupby(plain, lambda each: each.is_fixed):
            if fixed:
                values.update(self._fixed(list(run), indent, owner))
            else:
                values.update({each.name: self._field(each, indent, owner) for each in run})
        if self._flexible:
            values.update(self._tags([each for each in present if each not in plain], indent, owner))
        arguments = ", ".join(f"{each.name}={values[each.name]}" for each in present)
        return f"{self._module.class_name(struct)}({arguments})"

    def _fixed(self, run: list[Field], indent: str, owner: str) -> dict[str, str]:
        values = {each.name: self._names.new(each.name, owner) for each in run}
        layout = self._module.format("".join(FIXED[each.kind][0] for each in run))
        targets = ", ".join(values.values())
        self._write(
            indent, f"{targets if len(run) > 1 else f'({targets},)'} = {layout}.unpack_from(data, at)"
        )
        self._write(indent, f"at += {sum(FIXED[each.kind][1] for each in run)}")
        return values

    def _field(self, each: Field, indent: str, owner: str, default: str | None = None) -> str:
        """Write what reads one field, alone; return the expression of its value."""
        if each.is_array:
            return self._array(each, indent, owner)
        if each.struct:
            return self._nested(each, each.struct, indent, owner)
        if each.is_fixed:
            return self._fixed([each], indent, owner)[each.name]
        name = self._names.new(each.name, owner)
        self._write(indent, f"{name}, at = {self._reader(each)}(data, at)")
        return name

    def _reader(self, each: Field, nullable: bool | None = None) -> str:
        what = "bytes" if each.kind == "records" else each.kind
        null = is_nullable(each, self._version) if nullable is None else nullable
        return f"read_{'nullable_' if null else ''}{'compact_' if self._flexible else ''}{what}"

    def _nested(self, each: Field, struct: Struct, indent: str, owner: str) -> str:
        if not is_nullable(each, self._version):
            return self._struct(struct, indent, each.name)
        name = self._names.new(each.name, owner)
        self._write(indent, f"{name}: {self._module.class_name(struct)} | None = None")
        self._write(indent, "at += 1")
        self._write(indent, "if data[at - 1] < 0x80:")
        value = self._struct(struct, indent + STEP, each.name)
        self._write(indent + STEP, f"{name} = {value}")
        return name

    def _array(self, each: Field, indent: str, owner: str) -> str:
        nullable = is_nullable(each, self._version)
        count = self._names.new(f"{each.name}_count", owner) if nullable else "count"
        reader = f"read_{'nullable_' if nullable else ''}{'compact_' if self._flexible else ''}count"
        smallest = item_bytes_min(each, self._version, self._flexible)
        self._write(indent, f"{count}, at = {reader}(data, at, {smallest})")
        name = self._names.new(each.name, owner)
        if each.struct:
            self._write(indent, f"{name}: list[{self._module.class_name(each.struct)}] = []")
            self._write(indent, f"for _ in range({count}):")
            value = self._struct(each.struct, indent + STEP, singular(each.name))
            self._write(indent + STEP, f"{name}.append({value})")
        elif each.kind == "uuid":
            self._write(indent, f"{name}, at = read_uuids(data, at, {count})")
        elif each.kind in FIXED:
            self._write(indent, f'{name}, at = read_numbers(data, at, {count}, "{FIXED[each.kind][0]}")')
        else:
            self._write(indent, f"{name}, at = read_items(data, at, {count}, {self._reader(each, False)})")
        return f"None if {count} < 0 else {name}" if nullable else name

    def _tags(self, fields: list[Field], indent: str, owner: str) -> dict[str, str]:
        if not fields:
            self._write(indent, "at = skip_tags(data, at) if data[at] else at + 1")
            return {}
        assert not self._in_tag, "a tagged field in a tagged field: `end` would be lost"
        values = {}
        for each in fields:
            values[each.name] = name = self._names.new(each.name, owner)
            whole = self._module._attribute(each, self._module._request).split("  #")[0]
            _, python_type, default = re.split(r": | = ", whole, maxsplit=2)
            self._write(indent, f"{name}: {python_type} = {default}")
        self._write(indent, "count, at = read_uvarint(data, at)")
        self._write(indent, "for _ in range(count):")
        self._write(indent + STEP, "tag, at, end = read_tag(data, at)")
        self._in_tag = True
        for index, each in enumerate(fields):
            self._write(indent + STEP, f"{'el' if index else ''}if tag == {each.tag}:")
            value = self._field(each, indent + 2 * STEP, f"{values[each.name]}_field")
            self._write(indent + 2 * STEP, f"{values[each.name]} = {value}")
            self._write(indent + 2 * STEP, "demand_end(at, end)")
        self._in_tag = False
        self._write(indent + STEP, "else:")
        self._write(indent + 2 * STEP, "at = end")
        return values

    def _write(self, indent: str, line: str) -> None:
        self._lines.append(indent + line)


class Encoder:
    """Writes the encoder of one version."""

    def __init__(self, module: Module, flexible: bool, version: int) -> None:
        self._module = module
        self._flexible = flexible
        self._version = version
        self._names = Names()
        self._lines: list[str] = []

    def body(self, struct: Struct) -> list[str]:
        """Return the function's lines."""
        self._struct(struct, "message", "add", STEP)
        return self._lines or [f"{STEP}pass"]

    def _struct(self, struct: Struct, value: str, add: str, indent: str) -> None:
        present = [each for each in struct.fields if self._version in each.versions]
        plain = [each for each in present if self._version not in each.tagged]
        tagged = sorted((each for each in present if each not in plain), key=lambda each: each.tag)
        run: list[Field] = []
        for each in plain:
            if each.is_fixed:
                run.append(each)
                continue
            self._fixed(run, value, add, indent)
            run = []
            self._field(each, f"{value}.{each.name}", add, indent)
        if self._flexible and not tagged and run:
            self._fixed(run, value, add, indent, "x")  # the pad byte is a section of tags without any
            return
        self._fixed(run, value, add, indent)
        if tagged:
            self._tags(tagged, value, add, indent)
        elif self._flexible:
            self._write(indent, f"{add}(NO_TAGS)")

    def _fixed(self, run: list[Field], value: str, add: str, indent: str, tail: str = "") -> None:
        if run:
            layout = self._module.format("".join(FIXED[each.kind][0] for each in run) + tail)
            arguments = ", ".join(f"{value}.{each.name}" for each in run)
            self._write(indent, f"{add}({layout}.pack({arguments}))")

    def _field(self, each: Field, value: str, add: str, indent: str, known: bool = False) -> None:
        """Write what adds one field; `known`: null has been ruled out already."""
        nullable = is_nullable(each, self._version)
        prefix = f"{'nullable_' if nullable else ''}{'compact_' if self._flexible else ''}"
        # What may be null in other versions is sent empty in those where it may not.
        filled = bool(each.nullable) and not nullable and not known
        if each.is_array:
            self._array(each, f"({value} or ())" if filled else value, prefix, add, indent)
        elif each.struct:
            self._nested(each, each.struct, value, nullable, add, indent)
        elif each.is_fixed:
            layout = self._module.format(FIXED[each.kind][0])
            self._write(indent, f"{add}({layout}.pack({value}))")
        elif each.kind == "string":
            self._write(indent, f"{add}({prefix}string({value}{' or ' + repr('') if filled else ''}))")
        else:
            self._write(indent, f"{add}({prefix}count({value}))")
            if nullable:
                self._write(indent, f"if {value}:")
                indent += STEP
            self._write(indent, f"{add}({value})")

    def _array(self, each: Field, value: str, prefix: str, add: str, indent: str) -> None:
        self._write(indent, f"{add}({prefix}count({value}))")
        items = f"{value} or ()" if prefix.startswith("nullable") else value
        if each.struct or each.kind in ("string", "bytes"):
            item = self._names.new(singular(each.name))
            self._write(indent, f"for {item} in {items}:")
            if each.struct:
                self._struct(each.struct, item, add, indent + STEP)
            else:
                compact = "compact_" if self._flexible else ""
                if each.kind == "string":
                    self._write(indent + STEP, f"{add}({compact}string({item}))")
                else:
                    self._write(indent + STEP, f"{add}({compact}count({item}))")
                    self._write(indent + STEP, f"{add}({item})")
        elif each.kind == "uuid":
            self._write(indent, f'{add}(b"".join({items}))')
        else:
            self._write(indent, f'{add}(numbers({items}, "{FIXED[each.kind][0]}"))')

    def _nested(self, each: Field, struct: Struct, value: str, nullable: bool, add: str, indent: str) -> None:
        name = self._names.new(each.name)
        self._write(indent, f"{name} = {value}")
        if nullable:
            self._write(indent, f'{add}(b"\\xff" if {name} is None else b"\\x01")')
            self._write(indent, f"if {name} is not None:")
            indent += STEP
        self._struct(struct, name, add, indent)

    def _tags(self, fields: list[Field], value: str, add: str, indent: str) -> None:
        section = self._names.new(f"{value}_tags")
        self._write(indent, f"{section}: list[tuple[int, list[bytes]]] = []")
        for each in fields:
            whole = f"{value}.{each.name}"
            self._write(indent, f"if {self._differs(each, whole)}:")
            inner = indent + STEP
            piece = self._names.new(f"{each.name}_bytes")
            self._write(inner, f"{piece}: list[bytes] = []")
            self._field(each, whole, f"{piece}.append", inner, known=True)
            self._write(inner, f"{section}.append(({each.tag}, {piece}))")
        self._write(indent, f"{add}(tags({section}) if {section} else NO_TAGS)")

    def _differs(self, each: Field, value: str) -> str:
        """Return the condition on which a tagged field is sent: a value that is not its default."""
        default = self._module.default(each)
        if each.struct and not each.is_array:
            return f"{value} is not None"
        if default == "None":
            return f"{value} is not None"
        if default in ("[]", '""', 'b""', "0", "False") and not each.nullable:
            return value
        if default == "True":
            return f"not {value}"
        return f"{value} != {default}"

    def _write(self, indent: str, line: str) -> None:
        self._lines.append(indent + line)


def item_bytes_min(each: Field, version: int, flexible: bool) -> int:
    """Return the least that one item of this field takes on the wire."""
    if each.struct:
        smallest = sum(
            field_bytes_min(inner, version, flexible)
            for inner in each.struct.fields
            if version in inner.versions and version not in inner.tagged
        )
        smallest += flexible
    elif each.kind in FIXED:
        smallest = FIXED[each.kind][1]
    else:
        smallest = 1 if flexible else 2 if each.kind == "string" else 4
    assert smallest > 0, f"an array of {each.kind} would have no bound"
    return smallest


def field_bytes_min(each: Field, version: int, flexible: bool) -> int:
    """Return the least that this field takes on the wire."""
    if each.is_array:
        return 1 if flexible else 4
    if each.struct and is_nullable(each, version):
        return 1
    return item_bytes_min(each, version, flexible)


def _span(each: Field, message: Message) -> str:
    """Return the comment that says in which versions there is this field."""
    first, last = each.versions[0], each.versions[-1]
    if last < message.versions[-1]:
        return f"  # up to {last}" if first <= message.versions[0] else f"  # {first} to {last}"
    return "" if first <= message.versions[0] else f"  # {first}+"


def _structs(struct: Struct) -> list[Struct]:
    """Return a struct and all in it, each behind those that it uses."""
    found: list[Struct] = []
    for each in struct.fields:
        if each.struct:
            found += [inner for inner in _structs(each.struct) if inner not in found]
    return [*found, struct]


def _class_names(request: Struct, response: Struct) -> dict[int, str]:
    """Name the classes as Kafka does; what request and response both have is told apart by the direction."""
    sides = {"Request": _structs(request), "Response": _structs(response)}
    shared = {struct.name for struct in sides["Request"]} & {struct.name for struct in sides["Response"]}
    return {
        id(struct): f"{side}{struct.name}" if struct.name in shared else struct.name
        for side, structs in sides.items()
        for struct in structs
    }
