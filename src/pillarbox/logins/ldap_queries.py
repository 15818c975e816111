"""Queries that say who may do what, as RabbitMQ's LDAP plugin has them, in its own notation: Erlang terms.

    {in_group, "cn=${vhost}-users,ou=vhosts,dc=example,dc=com"}
    {'and', [{constant, true}, {'not', {exists, "cn=closed,dc=example,dc=com"}}]}
    {for, [{permission, configure, {in_group, "cn=admins,dc=example,dc=com"}},
           {permission, read, {constant, true}}]}

`parse` makes a query of the text, and refuses what it does not know; the query asks a `Directory` where it
must. `${name}` stands for a variable and counts literally, whatever it holds.

Not here: a directory (`ldap`). Source: RabbitMQ, "LDAP Support", query reference.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, Protocol

import msgspec

Variables = Mapping[str, str]

DEPTH_MAX: Final = 50
"""Queries within queries."""

_TOKEN = re.compile(
    r"""\s*(?:(?P<mark>[{}\[\],])|"(?P<text>(?:[^"\\]|\\.)*)"|'(?P<quoted>[^']*)'|(?P<atom>\w+))"""
)
_VARIABLE = re.compile(r"\$\{([\w.]+)\}")
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)


class QueryError(ValueError):
    """A query that is none: the text says why."""


class Text(msgspec.Struct, frozen=True):
    """A string in a query, with variables in it."""

    pattern: str


class Directory(Protocol):
    """What queries look at. Each raises what the directory's library raises."""

    def exists(self, dn: str) -> bool: ...

    def has_member(self, dn: str, attribute: str, user_dn: str) -> bool: ...

    def has_member_nested(self, dn: str, attribute: str, user_dn: str) -> bool: ...

    def values(self, dn: str, attribute: str) -> list[str]: ...


def filled(pattern: str, variables: Variables, escape: Callable[[str, str], str] | None = None) -> str:
    """The pattern with variables put in; one that there is not stays as it is written.

    `escape` makes of the name and the value of a variable what may stand there.
    """

    def value(match: re.Match[str]) -> str:
        found = variables.get(match[1])
        if found is None:
            return match[0]
        return escape(match[1], found) if escape is not None else found

    return _VARIABLE.sub(value, pattern)


def filled_dn(pattern: str, variables: Variables) -> str:
    """The same for the name of an entry: what stands for a variable is one value in it, or such a name."""
    return filled(pattern, variables, _in_dn if "=" in pattern else None)


def _in_dn(name: str, value: str) -> str:
    return value if name == "user_dn" else escaped_value(value)


def _in_regex(name: str, value: str) -> str:
    return re.escape(value)


def escaped_value(text: str) -> str:
    """A value as it may stand in the name of an entry (RFC 4514, 2.4)."""
    escaped = re.sub(r'([,+"\\<>;=#])', r"\\\1", text).replace("\0", "\\00")
    if escaped.startswith(" "):
        escaped = "\\" + escaped
    return escaped[:-1] + "\\ " if len(escaped) > 1 and escaped.endswith(" ") else escaped


# --- reading ----------------------------------------------------------------------------------------------


def read_term(text: str) -> Any:
    """An Erlang term: tuples, lists, strings (`Text`) and atoms (str). Raises QueryError."""
    tokens = list(_tokens(text.strip().removesuffix(".")))
    position = 0

    def term(depth: int) -> Any:
        nonlocal position
        if position >= len(tokens) or depth > DEPTH_MAX:
            raise QueryError("it ends too early" if depth <= DEPTH_MAX else "it is nested too deeply")
        kind, value = tokens[position]
        position += 1
        if kind != "mark":
            return Text(value) if kind == "text" else value
        closing = {"{": "}", "[": "]"}.get(value)
        if closing is None:
            raise QueryError(f'"{value}" stands where a term belongs')
        items: list[Any] = []
        while tokens[position : position + 1] != [("mark", closing)]:
            if items:
                if tokens[position : position + 1] != [("mark", ",")]:
                    raise QueryError(f'"," or "{closing}" is missing')
                position += 1
            items.append(term(depth + 1))
        position += 1
        return tuple(items) if closing == "}" else items

    found = term(0)
    if position < len(tokens):
        raise QueryError("there is something behind its end")
    return found


def _tokens(text: str) -> Iterator[tuple[str, str]]:
    at = 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            raise QueryError(f'"{text[at : at + 20]}" cannot be understood')
        at = match.end()
        kind, value = next((name, found) for name, found in match.groupdict().items() if found is not None)
        yield ("atom" if kind == "quoted" else kind), _ESCAPED.sub(r"\1", value) if kind == "text" else value


# --- answering ----------------------------------------------------------------------------------------------

MEMBER: Final = Text("member")
"""The attribute of a group that names its members."""

Query = Callable[[Variables, Directory], bool]
Values = Callable[[Variables, Directory], list[str]]


def parse(text: str) -> Query:
    """The query that this text says. Raises QueryError."""
    return _query(read_term(text))


def parse_tags(text: str) -> dict[str, Query]:
    """Tags, and who has each: `[{administrator, {constant, false}}]`. Raises QueryError."""
    term = read_term(text)
    found = {}
    for item in term if isinstance(term, list) else [None]:
        match item:
            case (str(tag) | Text(tag), query):
                found[tag] = _query(query)
            case _:
                raise QueryError("it must be a list of {TAG, QUERY}")
    return found


def _query(term: Any) -> Query:
    """What a term asks."""
    name = term[0] if isinstance(term, tuple) and term else term
    make = QUERIES.get(name) if isinstance(name, str) and isinstance(term, tuple) else None
    if make is None:
        raise QueryError(f'"{name}" is no query')
    try:
        return make(*term[1:])
    except TypeError:
        raise QueryError(f'"{name}" does not go with what stands behind it') from None


def _text(term: Any) -> str:
    if not isinstance(term, Text):
        raise TypeError
    return term.pattern


def _list(term: Any) -> list[Any]:
    if not isinstance(term, list):
        raise TypeError
    return term


def _constant(word: Any) -> Query:
    if word not in ("true", "false"):
        raise TypeError
    return lambda variables, directory: bool(word == "true")


def _exists(dn: Any) -> Query:
    pattern = _text(dn)
    return lambda variables, directory: directory.exists(filled_dn(pattern, variables))


def _in_group(dn: Any, attribute: Any = MEMBER) -> Query:
    pattern, name = _text(dn), _text(attribute)

    def query(variables: Variables, directory: Directory) -> bool:
        return directory.has_member(filled_dn(pattern, variables), name, variables["user_dn"])

    return query


def _in_group_nested(dn: Any, attribute: Any = MEMBER) -> Query:
    pattern, name = _text(dn), _text(attribute)

    def query(variables: Variables, directory: Directory) -> bool:
        return directory.has_member_nested(filled_dn(pattern, variables), name, variables["user_dn"])

    return query


def _not(inner: Any) -> Query:
    query = _query(inner)
    return lambda variables, directory: not query(variables, directory)


def _and(inner: Any) -> Query:
    every = [_query(one) for one in _list(inner)]
    return lambda variables, directory: all(query(variables, directory) for query in every)


def _or(inner: Any) -> Query:
    some = [_query(one) for one in _list(inner)]
    return lambda variables, directory: any(query(variables, directory) for query in some)


def _for(cases: Any) -> Query:
    """The query of the first case that fits; none: no."""
    found: list[tuple[str, str, Query]] = []
    for case in _list(cases):
        if not isinstance(case, tuple) or len(case) != 3 or not isinstance(case[0], str):
            raise QueryError("a case of for must be {VARIABLE, VALUE, QUERY}")
        value = case[1].pattern if isinstance(case[1], Text) else str(case[1])
        found.append((case[0], value, _query(case[2])))

    def query(variables: Variables, directory: Directory) -> bool:
        for variable, value, inner in found:
            if variables.get(variable) == value:
                return inner(variables, directory)
        return False

    return query


def _equals(left: Any, right: Any) -> Query:
    return _compared(_values(left), _values(right), lambda one, other: one == other)


def _match(left: Any, right: Any) -> Query:
    pattern = _values(right, _in_regex)
    return _compared(_values(left), pattern, lambda one, other: re.search(other, one) is not None)


QUERIES: Final[Mapping[str, Callable[..., Query]]] = {
    "constant": _constant,
    "exists": _exists,
    "in_group": _in_group,
    "in_group_nested": _in_group_nested,
    "not": _not,
    "and": _and,
    "or": _or,
    "for": _for,
    "equals": _equals,
    "match": _match,
}


def _values(term: Any, escape: Callable[[str, str], str] | None = None) -> Values:
    """What is compared: a text, or what an entry has."""
    match term:
        case Text(pattern) | ("string", Text(pattern)):
            return lambda variables, directory: [filled(pattern, variables, escape)]
        case ("attribute", Text(dn), Text(attribute)):
            return lambda variables, directory: directory.values(filled_dn(dn, variables), attribute)
    raise QueryError("it must be {string, TEXT} or {attribute, DN, NAME}")


def _compared(left: Values, right: Values, fits: Callable[[str, str], bool]) -> Query:
    """Does some value of the one fit some of the other?"""

    def query(variables: Variables, directory: Directory) -> bool:
        others = right(variables, directory)
        return any(fits(one, other) for one in left(variables, directory) for other in others)

    return query
