"""Lists: filter by name, sort, page, select columns; once for all resources, and in slices.

`render` is a generator of bytes whose steps are small, so that whoever drives it can let others have their
turn between any two: also filtering, computing what to sort by, and sorting are steps. It raises what is
wrong with the request before its first bytes.

Source: RabbitMQ's management API, pagination and sorting; texts measured on 3.10.8.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from heapq import merge
from itertools import islice
from operator import itemgetter
from typing import TYPE_CHECKING, Any, NamedTuple

from pillarbox.ops.management.fields import ABSENT, Document, encode, levels_of, pruned
from pillarbox.ops.management.request import HttpError, bad_request
from pillarbox.patterns import checked

if TYPE_CHECKING:
    from pillarbox.ops.management.request import Request

PAGE_SIZE = 100
PAGE_SIZE_MAX = 500
"""RabbitMQ's, too; without `page` a list has everything, in slices."""

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
    number, size = _integer(query["page"]), _integer(query.get("page_size", str(PAGE_SIZE)))
    if number is None or size is None or number < 1 or not 0 < size <= PAGE_SIZE_MAX:
        raise HttpError(
            400,
            "invalid_pagination_parameters",
            f"Invalid pagination parameters: page number {query['page']}, page size "
            f"{query.get('page_size', 'undefined')}; pages have at most {PAGE_SIZE_MAX} items",
        )
    name = query.get("name", "")
    if name and request.flag("use_regex"):
        return Page(number, size, _expression(name), 1)
    part = name.lower()
    return Page(number, size, lambda name: part in name.lower())


def _integer(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdecimal() else None


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
    found: list[Any] = []
    total = 0
    for step in _steps(listing.items, STEP_ITEMS if page is None else page.step_items):
        total += len(step)
        if page is None:
            found += step
        else:
            found += [item for item in step if page.matches(str(document.value(item, request, "name")))]
        yield b""
    column, order = request.query.get("sort"), listing.order
    if column or order is not None:
        keyed: list[Keyed] = []
        for step in _steps(found):
            keyed += [(_key(item, document, request, column, order), item) for item in step]
            yield b""
        ordered = yield from _sorted(keyed, reverse=request.flag("sort_reverse"))
    else:
        ordered = reversed(found) if request.flag("sort_reverse") else iter(found)
    if page is None:
        yield b"["
        yield from _rows(ordered, document, request)
        yield b"]"
        return
    start = (page.number - 1) * page.size
    if start >= len(found) and page.number > 1:
        raise page_out_of_range(page, len(found))
    count = max(0, min(page.size, len(found) - start))
    # Whoever sorts by a column has walked through merged stretches up to here.
    for skipped in range(0, start, SORTED_ITEMS):
        deque(islice(ordered, min(SORTED_ITEMS, start - skipped)), maxlen=0)
        yield b""
    head = {
        "filtered_count": len(found),
        "item_count": count,
        "page": page.number,
        "page_count": -(-len(found) // page.size),
        "page_size": page.size,
        "total_count": total,
    }
    yield encode(head)[:-1] + b',"items":['
    yield from _rows(islice(ordered, count), document, request)
    yield b"]}"


def page_out_of_range(page: Page, count: int) -> HttpError:
    reason = f"Page out of range, page: {page.number} page size: {page.size}, len: {count}"
    return HttpError(400, "page_out_of_range", reason)


def show(item: Any, document: Document, request: Request) -> dict[str, Any]:
    """A thing that was asked for by itself, with the columns that were asked for."""
    columns = _columns(request)
    found = document.describe(item, request, levels_of(request, detailed=True), _firsts(columns))
    return found if columns is None else pruned(found, columns)


def _rows(items: Iterator[Any], document: Document, request: Request) -> Iterator[bytes]:
    columns = _columns(request)
    firsts = _firsts(columns)
    levels = levels_of(request)
    separator = b""
    for step in _steps(items):
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


def _steps(items: Iterable[Any], count: int = STEP_ITEMS) -> Iterator[list[Any]]:
    walk = iter(items)
    while step := list(islice(walk, count)):
        yield step


def _sorted(keyed: list[Keyed], *, reverse: bool) -> Generator[bytes, None, Iterator[Any]]:
    """Sort in stretches, a step each (yields b""); return the items in order, merged as they are taken."""
    stretches = []
    for position in range(0, len(keyed), SORTED_ITEMS):
        stretch = keyed[position : position + SORTED_ITEMS]
        stretch.sort(key=_KEY, reverse=reverse)
        stretches.append(stretch)
        yield b""
    return map(_ITEM, merge(*stretches, key=_KEY, reverse=reverse))


_KEY, _ITEM = itemgetter(0), itemgetter(1)


def sort_key(value: Any) -> tuple[int, Any]:
    """Values of any kind in one order: what is not there counts as 0, numbers come before texts."""
    if value is ABSENT or value is None:
        return 0, 0
    if isinstance(value, bool | int | float):
        return 0, value
    return 1, value if isinstance(value, str) else encode(value).decode("utf-8", "replace")
