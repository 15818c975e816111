"""The live table: a full screen that asks again every few seconds, and keeps what it had while it cannot.

Asking happens in a thread, so keys work while a broker is slow. Not here: what is in a row (`table`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from threading import Lock
from typing import Any, ClassVar

from rich.text import Text
from textual import work
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import DataTable, Footer, Input, Static

from pillarbox.errors import PillarboxError
from pillarbox.ops.monitor.plain import cells, headline
from pillarbox.ops.monitor.source import SUBJECTS, Shot
from pillarbox.ops.monitor.table import History, Subject, arranged

INTERVAL_MIN_S = 1.0
INTERVAL_MAX_S = 60.0


class Monitor(App[None]):
    """See the module. `take` asks the broker for a subject; `interval_s` is how often, `contains` what names
    have to have in them at first."""

    CSS = """
    #head { height: auto; padding: 0 1; background: $panel; }
    #status { height: 1; padding: 0 1; color: $text-muted; }
    #filter { display: none; height: 3; }
    #filter.shown { display: block; }
    DataTable { height: 1fr; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("q", "quit", "quit"),
        Binding("s", "sort", "sort by next"),
        Binding("r", "reverse", "reverse"),
        Binding("slash", "filter", "filter"),
        Binding("escape", "no_filter", "no filter", show=False),
        Binding("p", "pause", "pause"),
        *(
            Binding(str(number), f"watch('{subject.name}')", subject.name)
            for number, subject in enumerate(SUBJECTS, 1)
        ),
        Binding("plus", "interval(1)", "slower", show=False),
        Binding("minus", "interval(-1)", "faster", show=False),
    ]
    ENABLE_COMMAND_PALETTE = False

    def __init__(
        self,
        take: Callable[[Subject], Shot],
        *,
        interval_s: float,
        subject: Subject = SUBJECTS[0],
        sort: str = "name",
        reverse: bool = False,
        contains: str = "",
    ) -> None:
        super().__init__()
        self._take = take
        self._taking = Lock()
        """A client asks one question at a time."""
        self._subject = subject
        self._interval_s = interval_s
        self._sort = sort
        self._reverse = reverse
        self._contains = contains
        self._paused = False
        self._shot: Shot | None = None
        self._problem = ""
        self._history = History(subject)

    def compose(self) -> ComposeResult:
        yield Static(id="head")
        yield Static(id="status")
        shown = "shown" if self._contains else ""
        hint = "part of a name; Escape shows all"
        yield Input(self._contains, id="filter", placeholder=hint, classes=shown)
        yield DataTable(id="rows", cursor_type="row", zebra_stripes=True)
        yield Footer()

    def on_mount(self) -> None:
        self.query_one(DataTable).focus()
        self._timer = self.set_interval(self._interval_s, self._ask)
        self._ask()

    # --- asking --------------------------------------------------------------------------------------

    @work(thread=True, exclusive=True)
    def _ask(self) -> None:
        if self._paused:
            return
        subject = self._subject
        try:
            with self._taking:
                shot = self._take(subject)
        except PillarboxError as error:
            self.call_from_thread(self._failed, subject, str(error))
        else:
            self.call_from_thread(self._got, shot)

    def _got(self, shot: Shot) -> None:
        if shot.subject is not self._subject:
            return
        self._shot, self._problem = shot, ""
        self._history.add(shot.rows)
        self._show()

    def _failed(self, subject: Subject, problem: str) -> None:
        if subject is self._subject:
            self._problem = problem
            self._show()

    # --- showing -------------------------------------------------------------------------------------

    def _show(self) -> None:
        self.query_one("#status", Static).update(self._status())
        table = self.query_one(DataTable)
        if self._shot is None:
            table.clear(columns=True)
            return
        self.query_one("#head", Static).update(headline(self._shot.totals))
        at, scroll = table.cursor_row, table.scroll_y
        table.clear(columns=True)
        for column in self._subject.columns:
            arrow = ("↓" if column.numeric != self._reverse else "↑") if column.field == self._sort else ""
            justify = "right" if column.numeric else "left"
            title = Text(f"{column.title} {arrow}".rstrip(), justify=justify)  # type: ignore[arg-type]
            table.add_column(title, key=column.field)
        table.add_column(self._subject.history_title, key="history")
        for row in self._rows(self._shot):
            table.add_row(*cells(self._subject, row), Text(self._history.sparkline(row), "red"))
        table.move_cursor(row=at)
        table.scroll_y = scroll

    def _rows(self, shot: Shot) -> Sequence[Any]:
        """Those that are to be seen, in their order."""
        return arranged(
            shot.subject, shot.rows, sort=self._sort, reverse=self._reverse, contains=self._contains
        )

    def _status(self) -> Text:
        if self._problem:
            return Text(f"{self._problem}; trying again every {self._interval_s:g} s", "bold red")
        words = [self._subject.name, "paused" if self._paused else f"every {self._interval_s:g} s"]
        words.append(f"by {self._sort}{' reversed' if self._reverse else ''}")
        if self._contains:
            words.append(f"names with “{self._contains}”")
        return Text("  ·  ".join(words))

    # --- keys ----------------------------------------------------------------------------------------

    def action_watch(self, name: str) -> None:
        """Go over to something else."""
        subject = next(one for one in SUBJECTS if one.name == name)
        if subject is self._subject:
            return
        self._subject, self._shot, self._problem = subject, None, ""
        self._sort, self._reverse = "name", False
        self._history = History(subject)
        self._show()
        self._ask()

    def action_sort(self) -> None:
        fields = [column.field for column in self._subject.columns]
        self._sort = fields[(fields.index(self._sort) + 1) % len(fields)]
        self._show()

    def action_reverse(self) -> None:
        self._reverse = not self._reverse
        self._show()

    def action_pause(self) -> None:
        self._paused = not self._paused
        self._show()

    def action_interval(self, by: int) -> None:
        self._interval_s = min(INTERVAL_MAX_S, max(INTERVAL_MIN_S, self._interval_s + by))
        self._timer.stop()
        self._timer = self.set_interval(self._interval_s, self._ask)
        self._show()

    def action_filter(self) -> None:
        field = self.query_one(Input)
        field.add_class("shown")
        field.focus()

    def action_no_filter(self) -> None:
        field = self.query_one(Input)
        field.value = ""
        field.remove_class("shown")
        self.query_one(DataTable).focus()

    def on_input_changed(self, event: Input.Changed) -> None:
        self._contains = event.value
        self._show()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        self.query_one(DataTable).focus()

    def on_data_table_header_selected(self, event: DataTable.HeaderSelected) -> None:
        field = str(event.column_key.value)
        if field == self._sort:
            self._reverse = not self._reverse
        elif any(column.field == field for column in self._subject.columns):
            self._sort, self._reverse = field, False
        self._show()
