"""The table for pipes, scripts and terminals that can do no more: as text, or as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pillarbox.ops.monitor.source import Shot
from pillarbox.ops.monitor.table import COLUMNS, Row, Totals, count, rate

STATES = {"running": "green", "idle": "dim", "flow": "yellow", "blocked": "red", "down": "red"}
PIPE_WIDTH = 160
"""Characters of a line where nobody says how wide it may be."""


def headline(totals: Totals) -> Text:
    """Everything in one line."""
    parts = (
        (totals.product, "bold"),
        (f"{count(totals.queues)} queues", ""),
        (f"{count(totals.connections)} connections", ""),
        (f"{count(totals.ready)} ready", ""),
        (f"{count(totals.unacknowledged)} unacked", ""),
        (f"incoming {rate(totals.incoming)}/s", ""),
        (f"deliver {rate(totals.deliver)}/s", ""),
        (f"ack {rate(totals.ack)}/s", ""),
    )
    return Text("  ·  ").join(Text(text, style) for text, style in parts)


def cells(row: Row) -> list[Text]:
    """A row as it is shown, column by column."""
    shown = []
    for column in COLUMNS:
        value = getattr(row, column.field)
        style = STATES.get(value, "") if column.field == "state" else "" if value else "dim"
        justify = "right" if column.numeric else "left"
        shown.append(Text(column.show(value), style, justify=justify))  # type: ignore[arg-type]
    return shown


def print_table(totals: Totals, rows: Sequence[Row]) -> None:
    """Print it to standard output, in colour if that is a terminal."""
    console = Console(width=None if Console().is_terminal else PIPE_WIDTH, highlight=False)
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for column in COLUMNS:
        table.add_column(column.title, justify="right" if column.numeric else "left", overflow="fold")
    for row in rows:
        table.add_row(*cells(row))
    console.print(headline(totals))
    console.print(table)


def to_json(shot: Shot, rows: Sequence[Row]) -> str:
    """The same for programs: `totals` and `queues`."""
    document = {"totals": shot.totals._asdict(), "queues": [row._asdict() for row in rows]}
    return json.dumps(document, ensure_ascii=False)
