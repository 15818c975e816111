"""Selectors: conditions on the headers of a message, in the words of SQL-92 that JMS has.

`compile_selector` makes a function of a text: from a look-up of headers to whether they meet it. What is
compared and missing is *unknown* (None): neither true nor false, as in SQL, and a selector that comes out as
unknown is not met.

Headers of STOMP are texts, so one that is compared or reckoned with a number counts as the number that it
spells, and one that is compared with TRUE or FALSE as the truth (ActiveMQ's `convert_string_expressions`).
What is there and cannot be compared is not equal: that is false, and not unknown. NOT binds closer than a
comparison, which is ActiveMQ's grammar: `NOT a = 1` is `(NOT a) = 1`.

Source: Jakarta Messaging 3.1, section 3.8; row A23; ActiveMQ 5.17 asked with
`tests/compare_messaging/scenarios/stomp_on_activemq.py`.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from functools import cache
from typing import Any, Final

from lark import Lark, Token, Transformer
from lark.exceptions import LarkError

from pillarbox.broker.dialects import Neutral
from pillarbox.broker.index import Envelope
from pillarbox.errors import BrokerError, Reason

Lookup = Callable[[str], Any]
"""The value of a header by its name; None: there is none."""
Value = Callable[[Lookup], Any]
Selector = Callable[[Lookup], bool]

SELECTOR_CHARACTERS_MAX: Final = 4096
"""Of one selector: each is parsed in one turn, a millisecond for each kilobyte or so."""
OPERATORS_MAX: Final = 250
"""Of one selector, but for AND, OR and commas: an evaluation may be as deep as there are operators."""

GRAMMAR: Final = r"""
?start: or
?or: and ("OR"i and)*                                   -> any_of
?and: comparison ("AND"i comparison)*                   -> all_of
?comparison: sum
    | comparison COMPARE sum                            -> compare
    | comparison [NOT] "BETWEEN"i sum "AND"i sum        -> between
    | comparison [NOT] "IN"i "(" literal ("," literal)* ")" -> one_of
    | comparison [NOT] "LIKE"i STRING ["ESCAPE"i STRING] -> like
    | comparison "IS"i [NOT] "NULL"i                    -> is_null
?sum: product
    | sum ADD product                                   -> reckon
?product: unary
    | product MULTIPLY unary                            -> reckon
?unary: atom
    | ADD unary                                         -> signed
    | NOT unary                                         -> negate
?atom: literal
    | NAME                                              -> header
    | "(" or ")"
literal: STRING                                         -> string
    | NUMBER                                            -> number
    | TRUTH                                             -> truth
COMPARE: "=" | "<>" | "<=" | ">=" | "<" | ">"
ADD: "+" | "-"
MULTIPLY: "*" | "/"
NOT.3: /NOT\b/i
TRUTH.3: /(TRUE|FALSE)\b/i
STRING: /'(?:[^']|'')*'/
NUMBER: /0[xX][\da-fA-F]+|\d+[lL](?!\w)|(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?/
NAME.-1: /(?!(?:AND|OR|NOT|BETWEEN|IN|LIKE|ESCAPE|IS|NULL|TRUE|FALSE)\b)[A-Za-z_$][\w$.-]*/i
%ignore /\s+/
"""


def compile_selector(text: str) -> Selector:
    """Make a function of a selector. Raises PRECONDITION_FAILED with what is wrong with it."""
    if len(text) > SELECTOR_CHARACTERS_MAX:
        problem = f"it is longer than {SELECTOR_CHARACTERS_MAX} characters"
    elif len(_OPERATORS.findall(_QUOTED.sub("0", text))) > OPERATORS_MAX:
        problem = f"it has more than {OPERATORS_MAX} operators"
    else:
        try:
            value: Value = _parser().parse(text)  # type: ignore[assignment]
            return lambda lookup: value(lookup) is True
        except LarkError as error:
            problem = _problem(error)
        except ValueError as error:
            problem = str(error)
    raise BrokerError(Reason.PRECONDITION_FAILED, f"selector '{text[:100]}' is not valid: {problem}")


def _problem(error: LarkError) -> str:
    column = getattr(error, "column", -1)
    return f"it cannot be read at character {column}" if column and column > 0 else "it ends too early"


_QUOTED: Final = re.compile(r"'(?:[^']|'')*'")
_OPERATORS: Final = re.compile(r"[-+*/(]|[=<>]+|\b(?:NOT|BETWEEN|IN|LIKE|IS)\b", re.IGNORECASE)


# --- values ------------------------------------------------------------------------------------------


def number_of(value: Any) -> int | float | None:
    """The number that a value is, or that it spells as text; None: it is none."""
    if isinstance(value, bool):
        return None
    if isinstance(value, (int, float)):
        return value
    if isinstance(value, str) and _NUMBER(value):
        return float(value) if set(value) & set(".eE") else int(value)
    return None


def truth_of(value: Any) -> bool | None:
    """The truth that a value is, or that it spells as text; None: it is none."""
    if isinstance(value, str):
        return value.lower() == "true"
    return value if isinstance(value, bool) else None


_NUMBER = re.compile(r"[+-]?(?:\d{1,300}\.?\d{0,300}|\.\d{1,300})(?:[eE][+-]?\d{1,3})?", re.ASCII).fullmatch

COMPARISONS: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "=": operator.eq,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
ARITHMETIC: Final[dict[str, Callable[[Any, Any], Any]]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
}


def compared(sign: str, left: Any, right: Any) -> bool | None:
    """The outcome of a comparison: numbers with numbers; texts and truths as to whether they are equal."""
    if left is None or right is None:
        return None
    if sign == "<>":
        return not compared("=", left, right)
    if isinstance(left, str) and isinstance(right, str) and sign == "=":
        return left == right
    if isinstance(left, bool) or isinstance(right, bool):
        first, second = truth_of(left), truth_of(right)
        return sign == "=" and first is not None and first is second
    one, other = number_of(left), number_of(right)
    if one is None or other is None:
        return False
    return COMPARISONS[sign](one, other)


def reckoned(sign: str, left: Any, right: Any) -> int | float | None:
    """The outcome of a calculation; unknown, if one side is no number or there is none."""
    first, second = number_of(left), number_of(right)
    if first is None or second is None:
        return None
    try:
        found: int | float = ARITHMETIC[sign](first, second)
        return found
    except (ZeroDivisionError, OverflowError):
        return None


def all_true(values: list[Any]) -> bool | None:
    """AND of SQL: false if one is false, else unknown if one is unknown."""
    if any(value is False for value in values):
        return False
    return True if all(value is True for value in values) else None


def any_true(values: list[Any]) -> bool | None:
    """OR of SQL: true if one is true, else unknown if one is unknown."""
    if any(value is True for value in values):
        return True
    return False if all(value is False for value in values) else None


def negated(value: Any) -> bool | None:
    """NOT of SQL: of what is neither true nor false it is unknown."""
    return not value if isinstance(value, bool) else None


class Pattern:
    """A pattern of LIKE: parts between the `%`, each of which has to be found behind the one before.

    So a match takes one walk through the text, whatever the pattern. Raises ValueError.
    """

    def __init__(self, text: str, escape: str | None) -> None:
        if escape is not None and len(escape) != 1:
            raise ValueError("ESCAPE takes one character")
        parts = [""]
        characters = iter(text)
        for character in characters:
            if character == escape:
                parts[-1] += re.escape(next(characters, ""))
            elif character == "%":
                parts.append("")
            else:
                parts[-1] += "." if character == "_" else re.escape(character)
        first, *middle = parts
        self._first = re.compile(first, re.DOTALL)
        self._last = re.compile(f"{middle.pop()}\\Z", re.DOTALL) if middle else None
        self._middle = [re.compile(part, re.DOTALL) for part in middle if part]

    def matches(self, text: str) -> bool:
        """Is that how the text looks?"""
        if self._last is None:
            return self._first.fullmatch(text) is not None
        found = self._first.match(text)
        for part in self._middle:
            found = found and part.search(text, found.end())
        return found is not None and self._last.search(text, found.end()) is not None


def text_of(token: str) -> str:
    """What a literal in quotes says."""
    return token[1:-1].replace("''", "'")


# --- the compiler ------------------------------------------------------------------------------------


class _Compiler(Transformer[Token, Value]):
    """From what was parsed to functions of a look-up, bottom up: a method for each rule of the grammar."""

    def any_of(self, parts: list[Value]) -> Value:
        return parts[0] if len(parts) == 1 else lambda lookup: any_true([part(lookup) for part in parts])

    def all_of(self, parts: list[Value]) -> Value:
        return parts[0] if len(parts) == 1 else lambda lookup: all_true([part(lookup) for part in parts])

    def compare(self, parts: list[Any]) -> Value:
        left, sign, right = parts
        return lambda lookup: compared(str(sign), left(lookup), right(lookup))

    def between(self, parts: list[Any]) -> Value:
        value, turned, low, high = parts

        def test(lookup: Lookup) -> bool | None:
            found, least, most = value(lookup), low(lookup), high(lookup)
            if turned is not None:
                return any_true([compared("<", found, least), compared(">", found, most)])
            return all_true([compared(">=", found, least), compared("<=", found, most)])

        return test

    def one_of(self, parts: list[Any]) -> Value:
        value, turned, *literals = parts
        wanted = [literal(lambda name: None) for literal in literals]

        def test(lookup: Lookup) -> bool | None:
            found = value(lookup)
            return None if found is None else any(compared("=", found, each) is True for each in wanted)

        return _unless(turned, test)

    def like(self, parts: list[Any]) -> Value:
        value, turned, pattern, escape = parts
        matches = Pattern(text_of(pattern), None if escape is None else text_of(escape)).matches

        def test(lookup: Lookup) -> bool | None:
            found = value(lookup)
            return matches(found) if isinstance(found, str) else None

        return _unless(turned, test)

    def is_null(self, parts: list[Any]) -> Value:
        value, turned = parts
        return lambda lookup: (value(lookup) is None) is (turned is None)

    def reckon(self, parts: list[Any]) -> Value:
        left, sign, right = parts
        return lambda lookup: reckoned(str(sign), left(lookup), right(lookup))

    def signed(self, parts: list[Any]) -> Value:
        sign, value = parts
        return lambda lookup: reckoned(str(sign), 0, value(lookup))

    def negate(self, parts: list[Any]) -> Value:
        value = parts[1]
        return lambda lookup: negated(value(lookup))

    def header(self, parts: list[Token]) -> Value:
        name = str(parts[0])
        return lambda lookup: lookup(name)

    def string(self, parts: list[Token]) -> Value:
        text = text_of(parts[0])
        return lambda lookup: text

    def number(self, parts: list[Token]) -> Value:
        text = str(parts[0])
        is_hexadecimal = text[:2] in ("0x", "0X")
        value = int(text, 16) if is_hexadecimal else number_of(text.rstrip("lL"))
        return lambda lookup: value

    def truth(self, parts: list[Token]) -> Value:
        value = parts[0].upper() == "TRUE"
        return lambda lookup: value


def _unless(turned: Token | None, test: Value) -> Value:
    """The test, or with NOT before its word the opposite of it."""
    return test if turned is None else lambda lookup: negated(test(lookup))


@cache
def _parser() -> Lark:
    """Made when somebody first has a selector; it compiles while it reads."""
    return Lark(GRAMMAR, parser="lalr", transformer=_Compiler())


# --- what messages say -------------------------------------------------------------------------------

STAMP: Final = "timestamp_in_ms"
"""The header that keeps a timestamp in milliseconds, under RabbitMQ's name; a field of AMQP has seconds."""

OF_JMS: Final[dict[str, Callable[[Neutral], Any]]] = {
    "JMSCorrelationID": lambda said: said.correlation_id,
    "JMSDeliveryMode": lambda said: "PERSISTENT" if said.persistent else "NON_PERSISTENT",
    "JMSMessageID": lambda said: said.message_id,
    "JMSPriority": lambda said: 4 if said.priority is None else said.priority,
    "JMSReplyTo": lambda said: said.reply_to,
    "JMSTimestamp": lambda said: said.headers.get(STAMP, said.timestamp_s and said.timestamp_s * 1000),
    "JMSType": lambda said: said.type,
}
"""What JMS calls the fields of a message."""
PERSISTENT_MODE: Final = 2
"""AMQP's number for it."""


def lookup_of(said: Neutral) -> Lookup:
    """How a selector sees a message: fields by JMS's names, all else by the names of its headers."""

    def look(name: str) -> Any:
        field = OF_JMS.get(name)
        return said.headers.get(name) if field is None else field(said)

    return look


def lookup_in(envelope: Envelope) -> Lookup:
    """How a selector sees a message that is still on its way to a queue."""
    read: Callable[[str], Any] = envelope.read_property
    said = Neutral(
        headers=dict(envelope.headers),
        persistent=read("delivery_mode") == PERSISTENT_MODE,
        priority=read("priority"),
        correlation_id=read("correlation_id"),
        reply_to=read("reply_to"),
        message_id=read("message_id"),
        timestamp_s=read("timestamp"),
        type=read("type"),
    )
    return lookup_of(said)
