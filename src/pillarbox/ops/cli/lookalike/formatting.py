"""What RabbitMQ's tools write, character by character: tab-separated tables, JSON, CSV.

A list is a table whose rows are dicts of the same columns. Source: RabbitMQ 3.10.8, measured.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from pillarbox.ops.cli.printing import printable

TABLE, JSON, CSV, PRETTY = "table", "json", "csv", "pretty_table"
FORMATTERS = (TABLE, JSON, CSV, PRETTY)


class Arguments(dict[str, Any]):
    """Arguments of a queue or the like, shown as a table of AMQP."""


class Table(NamedTuple):
    """A listing. `streamed`: written while it is made, which shows where nothing is in it."""

    columns: Sequence[str]
    rows: Sequence[Mapping[str, Any]]
    streamed: bool = True


class Message(NamedTuple):
    """A sentence, and what stands for it where JSON is asked for."""

    text: str
    document: Any = None


def table(listing: Table, formatter: str, headers: bool) -> str:
    """The whole text of a listing."""
    rows = [[row.get(column) for column in listing.columns] for row in listing.rows]
    if formatter == JSON:
        return _json_rows(listing.columns, rows, listing.streamed)
    if formatter == CSV:
        lines = [
            ",".join(_quoted(text) for text in texts) for texts in ([*listing.columns], *map(_texts, rows))
        ]
        return _lines(lines[0 if headers and rows else 1 :])
    if formatter == PRETTY:
        return _pretty(listing.columns, [_texts(row) for row in rows])
    if not rows:
        return "" if listing.streamed else "\n"
    return _lines(["\t".join(listing.columns)] * headers + ["\t".join(_texts(row)) for row in rows])


def message(answer: Message, formatter: str) -> str:
    """The text of a sentence."""
    if formatter == JSON:
        document = {"message": answer.text} if answer.document is None else answer.document
        return compact(document) + "\n"
    return f"{answer.text}\n"


def compact(document: Any) -> str:
    return json.dumps(document, ensure_ascii=False, separators=(",", ":"))


def _lines(lines: Sequence[str]) -> str:
    return "".join(f"{line}\n" for line in lines)


def _json_rows(columns: Sequence[str], rows: Sequence[Sequence[Any]], streamed: bool) -> str:
    if not rows:
        return "[\n]\n" if streamed else "[]\n"
    texts = [compact(dict(zip(columns, map(_json_value, row), strict=True))) for row in rows]
    return "[\n" + "\n,".join(texts) + "\n]\n"


def _json_value(value: Any) -> Any:
    if isinstance(value, Arguments):
        return [[name, _amqp_type(one), one] for name, one in value.items()]
    return "" if value is None else value


def _amqp_type(value: Any) -> str:
    """The API has forgotten what width a number had; `long` is what RabbitMQ makes of one in JSON."""
    known = {str: "longstr", bool: "bool", int: "long", float: "double", list: "array", dict: "table"}
    return known.get(type(value), "void")


def _texts(row: Sequence[Any]) -> list[str]:
    return [_text(value) for value in row]


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Arguments):
        return "[" + ", ".join(f"{{{compact(name)},{compact(one)}}}" for name, one in value.items()) + "]"
    if isinstance(value, list):
        return "[" + ", ".join(map(_text, value)) + "]"
    if isinstance(value, dict):
        return compact(value)
    return printable(str(value))


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'


def _pretty(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A box, of characters that every terminal has today."""
    widths = [max(map(len, place)) for place in zip(columns, *rows, strict=True)]

    def rule(left: str, middle: str, right: str) -> str:
        return left + middle.join("─" * (width + 2) for width in widths) + right

    def line(texts: Sequence[str]) -> str:
        return (
            "│" + "│".join(f" {text.ljust(width)} " for text, width in zip(texts, widths, strict=True)) + "│"
        )

    body = [line(row) for row in rows]
    return _lines([rule("┌", "┬", "┐"), line(columns), rule("├", "┼", "┤"), *body, rule("└", "┴", "┘")])
