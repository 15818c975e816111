"""Structures: what JMS has in a message that is no text, as ActiveMQ writes it in XML and in JSON (A11).

Both forms stand for the same tree of elements. XML is XStream's: an element is named after the type of its
value, `<map><entry><string>n</string><int>7</int></entry></map>`. JSON is Jettison's of the same tree: what
elements of one name have comes in a list, attributes begin with `@`, a text that spells a number or a truth
is one, and so elements of different names lose their order.

Whatever a type is called, nothing is ever made of it: a tree stays a tree. Not here: where such bodies come
from and to whom they go (`transforming`). Source: XStream, "Alias Tutorial", "JSON Tutorial"; ActiveMQ 5.17.2
asked with `tests/compare_messaging/scenarios/transformations_on_activemq.py`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from decimal import Decimal
from typing import Any, Final
from xml.parsers import expat

import msgspec

BODY_BYTES_MAX: Final = 262_144
"""What is read of a body: a larger one would hold all others up, since a core takes 2 microseconds for an
element. ActiveMQ has no limit."""
DEPTH_MAX: Final = 64
"""Elements that stand in each other."""

Scalar = str | int | float | bool | None


class Element(msgspec.Struct):
    """One element: it has a text, or parts."""

    name: str
    text: str = ""
    attributes: dict[str, str] = {}
    parts: list[Element] = []


# --- XML -----------------------------------------------------------------------------------------------

ESCAPES: Final = str.maketrans(
    {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&apos;", "\r": "&#xd;", "\0": ""}
)
SHORT_WHEN_EMPTY: Final = frozenset(("null", "map", "list", "set", "entry", "linked-hash-map", "tree-map"))
"""Elements that never have a text; of all others an empty one has an end of its own."""


def read_xml(data: bytes) -> Element:
    """The tree in a document. Raises ValueError."""
    demand_size(data)
    top = Element("")
    path = [top]
    texts: list[list[str]] = [[]]

    def begin(name: str, attributes: dict[str, str]) -> None:
        if len(path) > DEPTH_MAX:
            raise ValueError(f"more than {DEPTH_MAX} elements stand in each other")
        element = Element(name, attributes=attributes)
        path[-1].parts.append(element)
        path.append(element)
        texts.append([])

    def end(name: str) -> None:
        element, said = path.pop(), "".join(texts.pop())
        # Between parts there are line ends only.
        element.text = "" if element.parts else said

    def refuse(*declared: object) -> None:
        raise ValueError("a document type is declared")

    parser = expat.ParserCreate("utf-8")
    parser.buffer_text = True
    parser.StartElementHandler = begin
    parser.EndElementHandler = end
    parser.CharacterDataHandler = lambda said: texts[-1].append(said)
    parser.StartDoctypeDeclHandler = refuse
    try:
        parser.Parse(data, True)
    except expat.ExpatError as error:
        raise ValueError(f"no XML: {error}") from None
    return top.parts[0]


def write_xml(element: Element) -> bytes:
    """The document of a tree, with a line for each element."""
    return "\n".join(_lines(element, "")).encode()


def _lines(element: Element, indent: str) -> Iterator[str]:
    name = element.name
    said = "".join(f' {key}="{value.translate(ESCAPES)}"' for key, value in element.attributes.items())
    if element.parts:
        yield f"{indent}<{name}{said}>"
        for part in element.parts:
            yield from _lines(part, indent + "  ")
        yield f"{indent}</{name}>"
    elif element.text or name not in SHORT_WHEN_EMPTY:
        yield f"{indent}<{name}{said}>{element.text.translate(ESCAPES)}</{name}>"
    else:
        yield f"{indent}<{name}{said}/>"


# --- JSON ----------------------------------------------------------------------------------------------


def read_json(data: bytes) -> Element:
    """The tree in a JSON object. Raises ValueError."""
    demand_size(data)
    try:
        found = msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"no JSON: {error}") from None
    if not isinstance(found, dict) or len(found) != 1:
        raise ValueError("no object of one name")
    ((name, value),) = found.items()
    return element_of(name, value)


def element_of(name: str, value: Any, depth: int = 0) -> Element:
    """The element of a name and what JSON has for it. Raises ValueError."""
    if depth > DEPTH_MAX:
        raise ValueError(f"more than {DEPTH_MAX} elements stand in each other")
    if not _NAME.fullmatch(name):
        raise ValueError(f"{name[:40]!r} is no name of an element")
    if not isinstance(value, dict):
        return Element(name, _spelled(value))
    attributes = {key[1:]: _spelled(own) for key, own in value.items() if key[:1] == "@"}
    parts = [
        element_of(key, each, depth + 1)
        for key, own in value.items()
        if key[:1] not in ("@", "$")
        for each in (own if isinstance(own, list) else (own,))
    ]
    return Element(name, _spelled(value.get("$")), attributes, parts)


_NAME = re.compile(r"[A-Za-z_][\w.$:-]*")


def write_json(element: Element) -> bytes:
    """The JSON object of a tree."""
    return msgspec.json.encode({element.name: _value(element)})


def _value(element: Element) -> Any:
    if not element.parts and not element.attributes:
        return _primitive(element.text)
    found: dict[str, Any] = {f"@{key}": value for key, value in element.attributes.items()}
    named: dict[str, list[Any]] = {}
    for part in element.parts:
        named.setdefault(part.name, []).append(_value(part))
    found |= {name: values[0] if len(values) == 1 else values for name, values in named.items()}
    if element.text:
        found["$"] = _primitive(element.text)
    return found


_WHOLE = re.compile(r"0|-?[1-9][0-9]{0,17}")
_DECIMAL = re.compile(r"-?[0-9]+\.[0-9]+(E-?[0-9]+)?")


def _primitive(text: str) -> Scalar:
    """What a text is in JSON: a number or a truth, if it is spelled as Java does it."""
    if text in ("true", "false"):
        return text == "true"
    if _WHOLE.fullmatch(text):
        return int(text)
    if len(text) <= 32 and _DECIMAL.fullmatch(text):
        value = float(text)
        if spell_double(value) == text:
            return int(value) if value.is_integer() and "E" not in text else value
    return text


def _spelled(value: Scalar) -> str:
    """What the text of an element is that JSON has so."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        return ""
    if isinstance(value, float):
        return spell_double(value)
    if isinstance(value, (str, int)):
        return str(value)
    raise ValueError("a list or an object where a text was expected")


def spell_double(value: float) -> str:
    """A number as Java writes a `double`."""
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if value == 0 or 1e-3 <= abs(value) < 1e7:
        return repr(value)
    digits, _, exponent = f"{Decimal(repr(value)).normalize():E}".partition("E")
    return f"{digits if '.' in digits else f'{digits}.0'}E{int(exponent)}"


# --- maps ----------------------------------------------------------------------------------------------


def _whole(bits: int) -> Callable[[str], bool]:
    def is_one(text: str) -> bool:
        sign = text.removeprefix("-").removeprefix("+")
        return (
            sign.isascii()
            and sign.isdigit()
            and len(sign) < 20
            and -1 << bits - 1 <= int(text) < 1 << bits - 1
        )

    return is_one


def _is_decimal(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return "_" not in text


def _is_text(text: str) -> bool:
    return True


VALUES: Final[dict[str, Callable[[str], bool]]] = {
    "string": _is_text,
    "char": lambda text: len(text) == 1,
    "boolean": lambda text: text.lower() in ("true", "false"),
    "byte": _whole(8),
    "short": _whole(16),
    "int": _whole(32),
    "long": _whole(64),
    "float": _is_decimal,
    "double": _is_decimal,
    "byte-array": _is_text,
    "null": _is_text,
    "list": _is_text,
    "linked-list": _is_text,
    "map": _is_text,
    "linked-hash-map": _is_text,
    "tree-map": _is_text,
}
"""Types that a value of a JMS map message may have, and whether a text is one."""
MAPS: Final = ("map", "linked-hash-map", "tree-map")


def demand_map(element: Element) -> None:
    """Raise ValueError if a tree is not the map of a JMS map message."""
    if element.name not in MAPS:
        raise ValueError(f"a {element.name[:40]} is no map")
    for entry in element.parts:
        if entry.name != "entry" or len(entry.parts) != 2:
            raise ValueError("a map has entries of a name and a value")
        key, value = entry.parts
        if key.name != "string":
            raise ValueError(f"an entry is named by a string, not by a {key.name[:40]}")
        is_one = VALUES.get(value.name)
        if is_one is None:
            raise ValueError(f"{value.name[:40]}: no type that a map may have")
        if not is_one(value.text):
            raise ValueError(f"{value.text[:40]!r} is no {value.name}")


JAVA_TYPES: Final = {str: "string", int: "long", float: "double", bool: "boolean"}


def map_of(values: Mapping[str, Scalar], types: Mapping[str, str] | None = None) -> Element:
    """The map that has these values; `types`: of those that are not what Java's `long` and so on are."""
    return Element("map", parts=list(_entries(values.items(), types or {})))


def _entries(pairs: Iterable[tuple[str, Scalar]], types: Mapping[str, str]) -> Iterator[Element]:
    for key, value in pairs:
        kind = "null" if value is None else types.get(key) or JAVA_TYPES[type(value)]
        yield Element("entry", parts=[Element("string", key), Element(kind, _spelled(value))])


def demand_size(data: bytes) -> None:
    """Raise ValueError for a body that is too large to be read."""
    if len(data) > BODY_BYTES_MAX:
        raise ValueError(f"it is larger than {BODY_BYTES_MAX} bytes")
