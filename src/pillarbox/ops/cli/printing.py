"""What came back, for people (a table), for pipes (values between tabs) and for programs (JSON).

Names come from clients. What a terminal would take for a command is shown as a backslash and its number, and
a tab or a line end in a value cannot be mistaken for the end of it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

TABLE, TSV, JSON = FORMS = ("table", "tsv", "json")

GAP = "  "


class Column(NamedTuple):
    """A field of the documents, with dots for what is inside another, and what stands above it."""

    field: str
    heading: str

    def of(self, document: Mapping[str, Any]) -> Any:
        return look_up(document, self.field)


def columns_of(text: str) -> list[Column]:
    """Read `field other.field=HEADING ...`; commas are as good as spaces."""
    found = []
    for word in text.replace(",", " ").split():
        field, _, heading = word.partition("=")
        found.append(Column(field, heading or field))
    return found


def look_up(document: Any, field: str) -> Any:
    """The value of a field, None if it is not there. Keys may have dots in them, too."""
    if not isinstance(document, Mapping):
        return None
    if field in document:
        return document[field]
    head, dot, rest = field.partition(".")
    return look_up(document.get(head), rest) if dot else None


def json_text(document: Any) -> str:
    return json.dumps(document, indent=2, ensure_ascii=False)


def table(documents: Sequence[Mapping[str, Any]], columns: Sequence[Column]) -> Iterator[str]:
    """Lines of a table with headings; numbers to the right."""
    rows = [[column.of(document) for column in columns] for document in documents]
    right = [
        bool(rows) and all(row[place] is None or _is_number(row[place]) for row in rows)
        for place in range(len(columns))
    ]
    texts = [[cell(value) for value in row] for row in rows]
    heads = [column.heading for column in columns]
    widths = [max(map(len, place)) for place in zip(heads, *texts, strict=True)]
    for line in (heads, *texts):
        cells = [
            text.rjust(width) if to_right else text.ljust(width)
            for text, width, to_right in zip(line, widths, right, strict=True)
        ]
        yield GAP.join(cells).rstrip()


def tsv(documents: Sequence[Mapping[str, Any]], columns: Sequence[Column]) -> Iterator[str]:
    """Lines of values between tabs, headings first."""
    yield "\t".join(column.heading for column in columns)
    for document in documents:
        yield "\t".join(_plain(column.of(document)) for column in columns)


def sheet(document: Mapping[str, Any], columns: Sequence[Column]) -> Iterator[str]:
    """Lines of one document: a field each."""
    pairs = [(column.heading, column.of(document)) for column in columns] if columns else _flat(document)
    shown = [(name, cell(value)) for name, value in pairs if value is not None]
    width = max((len(name) for name, _ in shown), default=0)
    for name, text in shown:
        yield f"{name.ljust(width)}{GAP}{text}".rstrip()


def _flat(document: Mapping[str, Any], before: str = "") -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    for name, value in document.items():
        if isinstance(value, Mapping) and value:
            found += _flat(value, f"{before}{name}.")
        else:
            found.append((f"{before}{name}", value))
    return found


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def cell(value: Any) -> str:
    """A value for people."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.1f}"
    if isinstance(value, list) and all(isinstance(one, str) for one in value):
        return printable(",".join(value))
    return _plain(value) if value not in ({}, None) else ""


def _plain(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return printable(value)
    return printable(json.dumps(value, ensure_ascii=False, separators=(",", ":")))


def printable(text: str) -> str:
    """The same, without characters that do something to a terminal or a line."""
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)
