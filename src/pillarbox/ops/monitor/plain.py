"""The table for pipes, scripts and terminals that can do no more: as text, or as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pillarbox.ops.cli.printing import printable
from pillarbox.ops.monitor.source import Shot
from pillarbox.ops.monitor.table import Subject, Totals

STATES = {
    "running": "green",
    "idle": "dim",
    "flow": "yellow",
    "blocked": "red",
    "down": "red",
    "active": "green",
    "offline": "dim",
    "Stable": "green",
    "Empty": "dim",
    "PreparingRebalance": "yellow",
    "CompletingRebalance": "yellow",
    "Assigning": "yellow",
    "Reconciling": "yellow",
}
PIPE_WIDTH = 160
"""Characters of a line where nobody says how wide it may be."""


def headline(totals: Totals) -> Text:
    """Everything in one line."""
    first, *others = map(printable, totals.parts())
    return Text("  ·  ").join([Text(first, "bold"), *map(Text, others)])


def cells(subject: Subject, row: Any) -> list[Text]:
    """A row as it is shown, column by column; names come from clients, so no terminal may obey them."""
    shown = []
    for column in subject.columns:
        value = getattr(row, column.field)
        style = STATES.get(value, "") if column.field == "state" else "" if value else "dim"
        justify = "right" if column.numeric else "left"
        shown.append(Text(printable(column.show(value)), style, justify=justify))  # type: ignore[arg-type]
    return shown


def print_table(shot: Shot, rows: Sequence[Any]) -> None:
    """Print it to standard output, in colour if that is a terminal."""
    console = Console(width=None if Console().is_terminal else PIPE_WIDTH, highlight=False)
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for column in shot.subject.columns:
        table.add_column(column.title, justify="right" if column.numeric else "left", overflow="fold")
    for row in rows:
        table.add_row(*cells(shot.subject, row))
    console.print(headline(shot.totals))
    console.print(table)


def to_json(shot: Shot, rows: Sequence[Any]) -> str:
    """The same for programs: `totals`, and the rows under the name of what is watched."""
    document = {"totals": shot.totals._asdict(), shot.subject.name: [row._asdict() for row in rows]}
    return json.dumps(document, ensure_ascii=False)
