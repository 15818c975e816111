"""Plays scenarios with kaskade, in the environment where that is: see `scenarios/programs_tools.py`.

The application is kaskade's own, unchanged, and is told by keys what its users tell it, without a terminal;
what is seen are the cells of the tables that it shows.
"""

from __future__ import annotations

import asyncio
import json
import sys
import traceback
from collections.abc import Callable
from typing import Any

from confluent_kafka import Consumer, Producer
from kaskade.admin import KaskadeAdmin
from kaskade.consumer import KaskadeConsumer
from kaskade.deserializers import Deserialization
from textual.pilot import Pilot
from textual.widgets import DataTable, Input

SIZE = (200, 60)
TIMEOUT_S = 30.0
NO_REFRESH = 0


class Case:
    """One run of a scenario; names end with a token of the run, which the transcript does not show."""

    def __init__(self, bootstrap: str, ending: str) -> None:
        self.config = {"bootstrap.servers": bootstrap}
        self._ending = ending

    def name(self, word: str) -> str:
        return word + self._ending

    def saw(self, *line: Any) -> None:
        print(json.dumps(line).replace(self._ending, ""), flush=True)


async def until(pilot: Pilot[Any], found: Callable[[], Any]) -> Any:
    """What is found as soon as it is true."""
    ends = asyncio.get_running_loop().time() + TIMEOUT_S
    while not (seen := _tried(found)):
        if asyncio.get_running_loop().time() > ends:
            raise TimeoutError(f"not seen in {TIMEOUT_S:g} s")
        await pilot.pause(0.05)
    return seen


def _tried(found: Callable[[], Any]) -> Any:
    try:
        return found()
    except Exception:  # What is looked for is not on the screen yet.
        return None


def rows(pilot: Pilot[Any], table: str) -> list[list[str]]:
    """The cells of a table on the screen."""
    shown = pilot.app.screen.query_one(table, DataTable)
    return [[str(cell) for cell in shown.get_row(key)] for key in shown.rows]


def row(pilot: Pilot[Any], table: str, name: str) -> list[str]:
    """The one that begins with a name, an empty one if there is none."""
    return next((each for each in rows(pilot, table) if each[0] == name), [])


async def opened(pilot: Pilot[Any], key: str, opens: str) -> Any:
    """Press a key over the table of topics until it opens this; while the table loads it takes no keys."""
    while True:
        (await until(pilot, lambda: _ready(pilot))).focus()
        await pilot.press(key)
        for _ in range(20):
            if found := pilot.app.screen.query(opens):
                return found.first()
            await pilot.pause(0.05)


def _ready(pilot: Pilot[Any]) -> DataTable[Any] | None:
    table = pilot.app.screen.query_one("#topics-table", DataTable)
    return None if table.loading else table


async def fill_in(pilot: Pilot[Any], **values: str) -> None:
    """Fill a form in, and save it."""
    for field, value in values.items():
        (await until(pilot, lambda field=field: pilot.app.screen.query_one(f"#{field}", Input))).value = value
    await pilot.press("ctrl+s")


async def topics(case: Case) -> None:
    """A topic is made, filled, described, changed and deleted."""
    name = case.name("t")
    app = KaskadeAdmin(case.config, refresh_interval=NO_REFRESH)
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: pilot.app.screen.query_one("ListTopics").last_updated_at)
        await opened(pilot, "n", "#name")
        await fill_in(pilot, name=name, partitions="2", retention="5000")
        await until(pilot, lambda: row(pilot, "#topics-table", name))
        await asyncio.to_thread(use, case, name)
        (await opened(pilot, "slash", "#topic-filter")).value = name
        await pilot.press("enter")
        await until(pilot, lambda: len(rows(pilot, "#topics-table")) == 1)
        pilot.app.screen.query_one("#topics-table").focus()
        await pilot.press("ctrl+r")
        case.saw("topic", await until(pilot, lambda: whole(row(pilot, "#topics-table", name))))
        await opened(pilot, "d", "#partitions-table")
        case.saw("partitions", await until(pilot, lambda: rows(pilot, "#partitions-table")))
        case.saw("groups", [[each[0], *each[2:]] for each in rows(pilot, "#groups-table")])
        case.saw("offsets", rows(pilot, "#group-offsets-table"))
        case.saw("retention", row(pilot, "#configurations-table", "retention.ms"))
        await pilot.press("escape")
        await opened(pilot, "e", "#retention")
        await fill_in(pilot, partitions="3", retention="6000")
        await until(pilot, lambda: row(pilot, "#topics-table", name)[1] == "3")
        await opened(pilot, "d", "#partitions-table")
        changed = await until(pilot, lambda: row(pilot, "#configurations-table", "retention.ms"))
        case.saw("changed", changed, len(rows(pilot, "#partitions-table")))
        await pilot.press("escape")
        (await opened(pilot, "ctrl+d", "#topic-confirmation")).value = name
        await pilot.press("enter")
        await until(pilot, lambda: not row(pilot, "#topics-table", name))
        case.saw("deleted")
        await pilot.app.workers.wait_for_complete()


def whole(cells: list[str]) -> list[str]:
    """A row in which records and lag are known and there is a group; else an empty one."""
    return cells if cells and cells[4] == "1" and not {"…", "...", "?", "-"} & set(cells) else []


def use(case: Case, name: str) -> None:
    """Three records in a topic, of which a group has read and committed one."""
    producer = Producer(case.config)
    for number in range(3):
        producer.produce(name, f'{{"number": {number}}}', f"k{number}", partition=0, headers={"a": "1"})
    producer.flush(TIMEOUT_S)
    options = {"group.id": case.name("g"), "auto.offset.reset": "earliest", "enable.auto.commit": False}
    consumer = Consumer(case.config | options)
    consumer.subscribe([name])
    message = None
    while message is None:
        message = consumer.poll(TIMEOUT_S)
    consumer.commit(message, asynchronous=False)
    consumer.close()


async def records(case: Case) -> None:
    """What is in a topic, read as text and as JSON."""
    name = case.name("t")
    await asyncio.to_thread(use, case, name)
    text, as_json = Deserialization.STRING, Deserialization.JSON
    options = case.config | {"auto.offset.reset": "earliest"}
    app = KaskadeConsumer(name, options, {}, {}, {}, text, as_json)
    async with app.run_test(size=SIZE) as pilot:
        found = await until(pilot, lambda: len(seen := rows(pilot, "#records-table")) == 3 and seen)
        case.saw("records", [[cell for cell in each if "20" not in cell] for each in found])


SCENARIOS = {"topics": topics, "records": records}


def main() -> None:
    for line in sys.stdin:
        scenario, bootstrap, _, ending = line.rstrip("\n").split("\t")
        case = Case(bootstrap, ending)
        try:
            asyncio.run(SCENARIOS[scenario](case))
        except Exception as error:  # What an application ends with is an answer, too.
            traceback.print_exc()
            case.saw("raised", type(error).__name__, str(error))
        print(json.dumps("end"), flush=True)


if __name__ == "__main__":
    main()
