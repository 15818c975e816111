"""Regular expressions of users: which of them may run on the broker's loop.

`re` tries one possibility after another and cannot be stopped, so a pattern such as `(a+)+$` holds all up
for as long as the age of the world. Here a pattern is looked at before it is used. Where the next character
decides whether a repeat goes on or ends, and which alternative is meant, nothing is tried twice; where it
does not, there is a *choice*. A choice within a repeat makes the time exponential: such patterns are
refused. With other choices it grows as a power of the length of a name: `Pattern.steps` says how much that
may be at most.

Not here: what patterns are for. Whoever keeps patterns from before this check uses `re` itself.
"""

from __future__ import annotations

import re
from importlib import import_module
from math import factorial, prod
from typing import Any, Final, NamedTuple

_constants: Final[Any] = import_module("re._constants")
_parser: Final[Any] = import_module("re._parser")
"""Not public, and the only way to see what a pattern is made of."""

CHARS_MAX = 4096
"""Of a pattern: a longer one takes milliseconds to compile."""

NAME_CHARS_MAX = 255
"""Names in AMQP are no longer, nor are routing keys."""

STEPS_MAX = 200_000_000
"""For one name: about a second in the worst case, which no usual name is near to. More is refused."""

COPIES_MAX = 8
"""A choice in a repeat counts this often at most: as if it stood there so many times."""

_OTHER = 128
_END = 129
"""What a character may be beside those of ASCII: any other; and none, because the name or pattern ends."""
_ALL = frozenset(range(_OTHER + 1))

Chars = frozenset[int]


class Pattern(NamedTuple):
    """A pattern that may be used, and what it costs."""

    compiled: re.Pattern[str]
    powers: int
    """The time grows with the length of a name to this power: with the places at which a search may begin,
    the choices without a bound, and once more for other repeats that what follows may send back."""
    choices: int
    """How many possibilities the other choices have together."""

    def steps(self, length: int) -> int:
        """What a search in a name of this length takes at most, of some five nanoseconds each."""
        ways: int = (length + 1) ** self.powers
        return self.choices * ways // factorial(self.powers)


def checked(text: str, flags: int = 0) -> Pattern:
    """Compile a pattern. Raises re.error, with the reason in words, if it is wrong or may take too long."""
    if len(text) > CHARS_MAX:
        raise re.error(f"it has more than {CHARS_MAX} characters")
    try:
        tree = _parser.parse(text, flags)
        compiled = re.compile(text, flags)
        walk, choices = _Walk(tree.state.flags), list[int]()
        walk.sequence(tree, frozenset((_END,)), 1, choices)
    except (OverflowError, RecursionError) as error:
        raise re.error(f"it is too large: {error}") from None
    anchored = len(tree) > 0 and tree[0] in _BEGINNINGS
    bounded = [choice for choice in choices if choice <= NAME_CHARS_MAX]
    powers = len(choices) - len(bounded) + walk.scans + (not anchored)
    pattern = Pattern(compiled, powers, prod(bounded))
    if pattern.steps(NAME_CHARS_MAX) > STEPS_MAX:
        raise re.error("it has too many repeats that may match the same characters")
    return pattern


class _Walk:
    """Walks a parsed pattern from its end to its beginning, with what may come next at hand."""

    def __init__(self, flags: int) -> None:
        self.ignore_case = bool(flags & re.IGNORECASE)
        self.scans = False
        """There is a repeat that is no choice, but as long as the name may be."""

    def sequence(self, nodes: Any, after: Chars, copies: int, choices: list[int]) -> Chars:
        """Note the choices in these nodes; return with what they and what is behind them may begin."""
        for kind, value in reversed(list(nodes)):
            after = self.node(kind, value, after, copies, choices)
        return after

    def node(self, kind: Any, value: Any, after: Chars, copies: int, choices: list[int]) -> Chars:
        if kind in _REPEATS:
            low, high, body = value
            return self.repeat(low, high, body, after, copies, choices)
        if kind is _constants.BRANCH:
            return self.branch(value[1], after, copies, choices)
        if kind is _constants.SUBPATTERN:
            return self.sequence(value[3], after, copies, choices)
        if kind is _constants.ATOMIC_GROUP:
            return self.sequence(value, after, copies, choices)
        if kind in (_constants.ASSERT, _constants.ASSERT_NOT):
            self.sequence(value[1], _ALL, copies, choices)
            return _ALL
        if kind is _constants.GROUPREF_EXISTS:
            return self.branch([branch or [] for branch in value[1:]], after, copies, choices) | _ALL
        if kind is _constants.AT and (kind, value) in _BEGINNINGS:
            return after
        if kind is _constants.AT:
            return _ENDS.get(value, _ALL)
        if kind is _constants.GROUPREF:
            return _ALL
        return self.characters(kind, value)

    def repeat(self, low: int, high: int, body: Any, after: Chars, copies: int, choices: list[int]) -> Chars:
        """A repeat: its body stands there `high` times, and what follows it may be its own beginning."""
        first = self.sequence(body, frozenset(), 1, [])
        follows = after | first if high > 1 else after
        first = self.sequence(body, follows, copies * max(1, int(high)), choices)
        if low == high:
            return first | after if low == 0 else first
        if first & after:
            self.note(int(high) - low + 1, copies, choices)
        elif high > NAME_CHARS_MAX and after != {_END}:
            self.scans = True
        return first | after if low == 0 else first

    def branch(self, alternatives: Any, after: Chars, copies: int, choices: list[int]) -> Chars:
        """Alternatives: a choice where two may begin alike; otherwise as long as the longest."""
        first: Chars = frozenset()
        alike = False
        worst: list[int] = []
        for alternative in alternatives:
            own: list[int] = []
            begins = self.sequence(alternative, after, copies, own)
            alike = alike or bool(first & begins - {_END})
            first |= begins
            worst = max(worst, own, key=prod)
        choices += worst
        if alike:
            self.note(len(alternatives), copies, choices)
        return first

    def note(self, possibilities: int, copies: int, choices: list[int]) -> None:
        if copies > COPIES_MAX:
            raise re.error("a repeat within a repeat may match the same characters in many ways")
        choices += [possibilities] * copies

    def characters(self, kind: Any, value: Any) -> Chars:
        """What one character may be."""
        if kind is _constants.LITERAL:
            return self.literal(value)
        if kind is _constants.NOT_LITERAL:
            return _ALL - self.literal(value) | {_OTHER}
        if kind is _constants.RANGE:
            low, high = value
            found: Chars = frozenset(range(low, min(high + 1, _OTHER))) | (
                {_OTHER} if high >= _OTHER else frozenset()
            )
            return found.union(*map(self.literal, found)) if self.ignore_case else found
        if kind is _constants.CATEGORY:
            return _CATEGORIES.get(value, _ALL)
        if kind is _constants.IN:
            inner: Chars = frozenset().union(
                *(self.characters(*one) for one in value if one[0] is not _constants.NEGATE)
            )
            return (_ALL - inner) | {_OTHER} if value[0][0] is _constants.NEGATE else inner
        return _ALL

    def literal(self, code: int) -> Chars:
        if code >= _OTHER:
            return frozenset((_OTHER,))
        if self.ignore_case:
            letter = chr(code)
            # Some letters beyond ASCII count as the same as one in it.
            return frozenset((ord(letter.lower()), ord(letter.upper()), _OTHER))
        return frozenset((code,))


def _category(pattern: str) -> Chars:
    return frozenset(code for code in range(_OTHER) if re.match(pattern, chr(code))) | {_OTHER}


_REPEATS = frozenset((_constants.MAX_REPEAT, _constants.MIN_REPEAT, _constants.POSSESSIVE_REPEAT))
_BEGINNINGS = (
    (_constants.AT, _constants.AT_BEGINNING),
    (_constants.AT, _constants.AT_BEGINNING_STRING),
)
_ENDS: dict[Any, Chars] = {
    _constants.AT_END: frozenset((ord("\n"), _END)),
    _constants.AT_END_STRING: frozenset((_END,)),
}
_CATEGORIES: dict[Any, Chars] = {
    _constants.CATEGORY_DIGIT: _category(r"\d"),
    _constants.CATEGORY_NOT_DIGIT: _category(r"\D"),
    _constants.CATEGORY_WORD: _category(r"\w"),
    _constants.CATEGORY_NOT_WORD: _category(r"\W"),
    _constants.CATEGORY_SPACE: _category(r"\s"),
    _constants.CATEGORY_NOT_SPACE: _category(r"\S"),
}
