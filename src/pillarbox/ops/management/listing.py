"""Lists, and single things: filter by name, sort, page, select columns; once for all resources, in slices.

`render` is a generator of bytes whose steps are small, so that whoever drives it can let others have their
turn between any two: also filtering, computing what to sort by, sorting, and letting go of it all are steps.
It raises what is wrong with the request before its first bytes. So is `show`, for a thing by itself.

Source: RabbitMQ's management API, pagination and sorting; texts measured on 3.10.8.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from heapq import merge
from itertools import chain, islice
from operator import itemgetter
from typing import TYPE_CHECKING, Any, NamedTuple

from pillarbox.ops.management.fields import ABSENT, Document, encode, levels_of, pruned
from pillarbox.ops.management.request import HttpError, bad_request, number_of
from pillarbox.patterns import checked

if TYPE_CHECKING:
    from pillarbox.ops.management.request import Request

PAGE_SIZE = 100
PAGE_SIZE_MAX = 500
"""RabbitMQ's, too; without `page` a list has everything, in slices."""

SHOWN = 30
"""Characters of a wrong number that are shown."""

STEP_ITEMS = 10
"""Items of a step: some 30 µs each where everything is shown."""

SORTED_ITEMS = 500
"""Items that are sorted at once; stretches of them are merged."""

PATTERN_CHARS_MAX = 512
"""A longer regular expression is refused: it runs on the broker's loop."""

MATCH_STEPS_MAX = 200_000
"""For one name: a millisecond (see `Pattern.steps`). A pattern that may take longer is refused."""

Keyed = tuple[Any, Any]


class Listing(NamedTuple):
    """Things of one kind. `items` is walked through in steps, while other things happen: over copies of what
    may change."""

    items: Iterable[Any]
    document: Document
    order: Callable[[Any], Any] | None = None
    """What to sort by unless somebody asks for a column; None: they come in order."""


class Page(NamedTuple):
    """Which part of a list is asked for."""

    number: int
    size: int
    matches: Callable[[str], bool]
    """Raises 400 if it would take too long to know."""
    step_items: int = STEP_ITEMS
    """How many are matched at once."""


def page_of(request: Request) -> Page | None:
    """The page that a request asks for; None: everything. Raises 400."""
    query = request.query
    if "page" not in query:
        return None
    number, size = number_of(query["page"]), number_of(query.get("page_size", str(PAGE_SIZE)))
    if number is None or size is None or number < 1 or not 0 < size <= PAGE_SIZE_MAX:
        raise HttpError(
            400,
            "invalid_pagination_parameters",
            f"Invalid pagination parameters: page number {query['page'][:SHOWN]}, page size "
            f"{query.get('page_size', 'undefined')[:SHOWN]}; pages have at most {PAGE_SIZE_MAX} items",
        )
    name = query.get("name", "")
    if name and request.flag("use_regex"):
        return Page(number, size, _expression(name), 1)
    part = name.lower()
    return Page(number, size, lambda name: part in name.lower())


def _expression(text: str) -> Callable[[str], bool]:
    try:
        if len(text) > PATTERN_CHARS_MAX:
            raise re.error("too long")
        pattern = checked(text, re.IGNORECASE)
    except re.error as error:
        raise bad_request(f"invalid regular expression: {error}") from None

    def matches(name: str) -> bool:
        if pattern.steps(len(name)) > MATCH_STEPS_MAX:
            raise bad_request(
                "invalid regular expression: it has too many repeats that may match the same characters "
                f"for a name of {len(name)} characters"
            )
        return pattern.compiled.search(name) is not None

    return matches


def render(listing: Listing, request: Request) -> Iterator[bytes]:
    """The JSON of a list, or of a page of it. Raises 400 before the first bytes."""
    page = page_of(request)
    document = listing.document
    total = 0
    column, order = request.query.get("sort"), listing.order
    found = Stretches(sorts=bool(column) or order is not None, reverse=request.flag("sort_reverse"))
    for step in in_steps(listing.items, STEP_ITEMS if page is None else page.step_items):
        total += len(step)
        if page is not None:
            step = [item for item in step if page.matches(str(document.value(item, request, "name")))]
        if found.sorts:
            found.add([(_key(item, document, request, column, order), item) for item in step])
        else:
            found.add([(0, item) for item in step])
        yield b""
    ordered = found.in_order()
    if page is None:
        yield b"["
        yield from _rows(ordered, document, request)
        yield b"]"
        yield from found.let_go()
        return
    start = (page.number - 1) * page.size
    if start >= found.count and page.number > 1:
        raise page_out_of_range(page, found.count)
    count = max(0, min(page.size, found.count - start))
    # Whoever sorts by a column has walked through merged stretches up to here.
    for skipped in range(0, start, SORTED_ITEMS):
        deque(islice(ordered, min(SORTED_ITEMS, start - skipped)), maxlen=0)
        yield b""
    head = {
        "filtered_count": found.count,
        "item_count": count,
        "page": page.number,
        "page_count": -(-found.count // page.size),
        "page_size": page.size,
        "total_count": total,
    }
    yield encode(head)[:-1] + b',"items":['
    yield from _rows(islice(ordered, count), document, request)
    yield b"]}"
    yield from found.let_go()


def page_out_of_range(page: Page, count: int) -> HttpError:
    reason = f"Page out of range, page: {page.number} page size: {page.size}, len: {count}"
    return HttpError(400, "page_out_of_range", reason)


def show(item: Any, document: Document, request: Request, unknown: Any = None) -> Iterator[bytes]:
    """The JSON of a thing that was asked for by itself, with the columns that were asked for, a field a step.

    `unknown` is what stands for null.
    """
    columns = _columns(request)
    found = {}
    for name, get in document.getters(levels_of(request, detailed=True), _firsts(columns)):
        value = get(item, request)
        if value is not ABSENT:
            found[name] = unknown if value is None else value
        yield b""
    yield encode(found if columns is None else pruned(found, columns))


def _rows(items: Iterator[Any], document: Document, request: Request) -> Iterator[bytes]:
    columns = _columns(request)
    firsts = _firsts(columns)
    levels = levels_of(request)
    separator = b""
    for step in in_steps(items):
        shown = [document.describe(item, request, levels, firsts) for item in step]
        if columns is not None:
            shown = [pruned(one, columns) for one in shown]
        yield separator + encode(shown)[1:-1]
        separator = b","


def _columns(request: Request) -> list[str] | None:
    text = request.query.get("columns")
    return [name.strip() for name in text.split(",")] if text else None


def _firsts(columns: list[str] | None) -> frozenset[str] | None:
    return None if columns is None else frozenset(name.partition(".")[0] for name in columns)


def _key(
    item: Any,
    document: Document,
    request: Request,
    column: str | None,
    order: Callable[[Any], Any] | None,
) -> tuple[Any, ...]:
    """What to sort an item by: what was asked for, then the usual order, which is reversed with it."""
    usual = order(item) if order is not None else 0
    return (sort_key(document.value(item, request, column)), usual) if column else (usual,)


def in_steps(items: Iterable[Any], count: int = STEP_ITEMS) -> Iterator[list[Any]]:
    """Items in lists of so many."""
    walk = iter(items)
    while step := list(islice(walk, count)):
        yield step


class Stretches:
    """Items with what they are sorted by, in stretches small enough to be sorted, and freed, in one step.

    With `sorts` their order is that of the keys, otherwise that in which they came.
    """

    def __init__(self, *, sorts: bool, reverse: bool) -> None:
        self.sorts = sorts
        self.count = 0
        self._reverse = reverse
        self._full: list[list[Keyed]] = []
        self._last: list[Keyed] = []

    def add(self, keyed: list[Keyed]) -> None:
        """Take some more, fewer than a stretch has."""
        self.count += len(keyed)
        self._last += keyed
        if len(self._last) >= SORTED_ITEMS:
            self._end_stretch()

    def _end_stretch(self) -> None:
        if self.sorts:
            self._last.sort(key=_KEY, reverse=self._reverse)
        elif self._reverse:
            self._last.reverse()
        self._full.append(self._last)
        self._last = []

    def in_order(self) -> Iterator[Any]:
        """The items; sorted stretches are merged as they are taken."""
        self._end_stretch()
        if self.sorts:
            return map(_ITEM, merge(*self._full, key=_KEY, reverse=self._reverse))
        return map(_ITEM, chain.from_iterable(reversed(self._full) if self._reverse else self._full))

    def let_go(self) -> Iterator[bytes]:
        """Forget all of them, in steps: to free ten thousand at once takes more than a millisecond."""
        for stretch in self._full:
            stretch.clear()
            yield b""


_KEY, _ITEM = itemgetter(0), itemgetter(1)


def sort_key(value: Any) -> tuple[int, Any]:
    """Values of any kind in one order: what is not there counts as 0, numbers come before texts."""
    if value is ABSENT or value is None:
        return 0, 0
    if isinstance(value, bool | int | float):
        return 0, value
    return 1, value if isinstance(value, str) else encode(value).decode("utf-8", "replace")
