"""What things share while they have nothing of a kind, where there are very many of them.

An empty dictionary takes 64 bytes, a list 56, a set 216 and a deque 760, in each of ten thousand queues and
sessions, most of which never put anything there. A field begins with one of these; whoever adds something
looks whether it still is, and puts one of its own in its place:

    if self.waiting is NO_DICT:
        self.waiting = {}

Whoever forgets that gets an error, and changes nothing.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Final, NoReturn, TypeVar

T = TypeVar("T")

FEW_MAX: Final = 8
"""So many are looked through as fast as they are found in a dictionary."""


class _NoDict(dict[Any, Any]):
    """A dictionary that stays empty. One of its own kind, because encoders know dictionaries."""

    __slots__ = ()

    def _refuse(self, *_: Any, **__: Any) -> NoReturn:
        raise TypeError("it is shared, and stays empty")

    __setitem__ = setdefault = update = __ior__ = _refuse


NO_DICT: Final[Any] = _NoDict()
NO_LIST: Final[Any] = ()
"""In place of a list or a deque."""
NO_SET: Final[Any] = frozenset()


def with_one(few: Collection[T], item: T) -> Collection[T]:
    """These and one more, in order: a tuple while they are few, else a dictionary, which is changed.

    The same item may be added more than once; who walks through many sees it once.
    """
    if isinstance(few, dict):
        few[item] = few.get(item, 0) + 1
        return few
    if len(few) < FEW_MAX:
        return (*few, item)
    counts = dict.fromkeys(few, 0)
    counts[item] = 0
    for one in (*few, item):
        counts[one] += 1
    return counts


def without(few: Collection[T], item: T) -> Collection[T]:
    """These, where an item that is among them is there once less. Items are equal only to themselves."""
    if isinstance(few, dict):
        few[item] -= 1
        if not few[item]:
            del few[item]
        return few
    position = tuple(few).index(item)
    return tuple([one for place, one in enumerate(few) if place != position])
