"""One run of a command, and the row of the table that says what it does."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any, NamedTuple

from pillarbox.ops.api_client import ApiClient, ApiError, names_in, path
from pillarbox.ops.cli.lookalike.arguments import EXIT_UNAVAILABLE, ToolError, UsageError
from pillarbox.ops.cli.lookalike.formatting import TABLE, Message, Table

Answer = Table | Message | str | None
"""What a command writes: a listing, a sentence, a text as it is, nothing."""

_ARGUMENT = re.compile(r"(\[)?<([^>]+)>(\.\.\.)?")
_OPTION = re.compile(r"\[--[^\]]+\]")


class Argument(NamedTuple):
    """One of a command's arguments: `<name>`, optional in brackets; the last may be `<name>...`."""

    name: str
    is_optional: bool
    is_rest: bool


class Run:
    """What a command works with. `words`: its arguments by name, and `vhost`; `rest`: those of `<a>...`."""

    def __init__(
        self, api: ApiClient, words: dict[str, str], rest: Sequence[str], options: Mapping[str, str]
    ) -> None:
        self.api = api
        self.words = words
        self.rest = list(rest)
        self.options = options

    @property
    def is_quiet(self) -> bool:
        """Nothing is to be said beside the answer, or it is for a program."""
        return bool({"quiet", "silent"} & set(self.options)) or self.options.get("formatter", TABLE) != TABLE

    @cached_property
    def overview(self) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self.api.get("/overview")
        return found

    @cached_property
    def node(self) -> str:
        """The node's name; without an account, the one that was asked for."""
        try:
            return str(self.overview["node"])
        except ApiError:
            return self.options.get("node") or os.environ.get("RABBITMQ_NODENAME") or "rabbit@localhost"

    @cached_property
    def node_state(self) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self.get("/nodes/{node}", node=self.node)
        return found

    def get(self, template: str, **words: str) -> Any:
        return self.api.get(self.path(template, **words))

    def call(self, method: str, template: str, body: Any = None, **words: str) -> Any:
        return self.api.call(method, self.path(template, **words), body)

    def path(self, template: str, **words: str) -> str:
        known = {**self.words, **words}
        return path(template, **{name: known[name] for name in names_in(template)})

    def exists(self, template: str, **words: str) -> bool:
        try:
            self.get(template, **words)
        except ApiError as error:
            if error.status != 404:
                raise
            return False
        return True

    def json(self, word: str) -> Any:
        """An argument that is a JSON document."""
        try:
            return json.loads(self.words[word])
        except ValueError:
            raise ToolError(EXIT_UNAVAILABLE, "Error:\nJSON decoding error. Reason: badarg") from None

    def json_object(self, word: str) -> dict[str, Any]:
        """An argument that is one, with names and values."""
        found = self.json(word)
        if not isinstance(found, dict):
            raise ToolError(EXIT_UNAVAILABLE, f"Error:\n{self.words[word]} is no JSON object")
        return found


class Command(NamedTuple):
    """One row. `usage`: the arguments, and options that are told with them; `banner`: what is said before,
    with names of arguments in braces; `checks`: what has to hold; `do`: what is done; `valued` and `flags`:
    options beside those that all commands take.
    """

    name: str
    usage: str
    banner: str
    do: Callable[[Run], Answer]
    checks: tuple[Callable[[Run], None], ...] = ()
    valued: Mapping[str, str] = {}
    flags: Mapping[str, str] = {}
    validate: Callable[[Run], object] | None = None
    """Looks at the arguments before anything is said or asked; raises UsageError."""
    needs_account: bool = True
    """Otherwise nobody is asked for a password."""

    @property
    def arguments(self) -> list[Argument]:
        return [
            Argument(m[2], bool(m[1]), bool(m[3])) for m in _ARGUMENT.finditer(_OPTION.sub("", self.usage))
        ]

    def named(self, given: Sequence[str]) -> tuple[dict[str, str], list[str]]:
        """Give the arguments their names. Raises UsageError."""
        known = self.arguments
        has_rest = bool(known) and known[-1].is_rest
        single = known[:-1] if has_rest else known
        if len(given) < sum(not one.is_optional for one in single):
            raise UsageError("not enough arguments.")
        if len(given) > len(single) and not has_rest:
            raise UsageError("too many arguments.")
        words = {one.name: "" for one in single}
        words.update(zip(words, given, strict=False))
        return words, list(given[len(single) :])
