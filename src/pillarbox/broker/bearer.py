"""Somebody who logged in with a token: name, tags and rights are what the token says (R8).

Rights are scopes, in RabbitMQ's grammar: `read:VHOST/NAME[/KEY]`, and the same for `write` and `configure`.
In a part `*` stands for anything, what is percent-encoded for itself, and `{vhost}` for the virtual host that
is asked about. Without KEY every routing key is free. `tag:NAME` gives a tag.

Not here: tokens (`pillarbox.oauth`). Source: RabbitMQ, "OAuth 2", scope translation; its matcher does not go
back behind the first place where a part fits, this one does.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import quote, unquote_plus

ACTIONS = ("configure", "write", "read")
TAG = "tag:"

PATTERNS_KEPT = 4096
"""Compiled patterns, of all tokens: a token has some ten, and many have the same."""


class Scope(NamedTuple):
    """One right, as it is written in a token but taken apart."""

    action: str
    vhost: str
    name: str
    key: str


def scopes_of(words: Iterable[str]) -> tuple[Scope, ...]:
    """The rights among these words; what is no right is none of the broker's business."""
    found = []
    for word in words:
        action, _, parts = word.partition(":")
        pattern = parts.split("/")
        if action in ACTIONS and len(pattern) in (2, 3):
            found.append(Scope(action, pattern[0], pattern[1], pattern[2] if len(pattern) == 3 else "*"))
    return tuple(found)


def tags_of(words: Iterable[str]) -> tuple[str, ...]:
    """The tags among these words, each once."""
    return tuple(dict.fromkeys(word.removeprefix(TAG) for word in words if word.startswith(TAG)))


@lru_cache(PATTERNS_KEPT)
def _compiled(pattern: str) -> re.Pattern[str]:
    parts = (re.escape(unquote_plus(part)) for part in pattern.split("*"))
    return re.compile(".*".join(parts), re.DOTALL)


def _fits(pattern: str, text: str, vhost: str) -> bool:
    return _compiled(pattern.replace("{vhost}", quote(vhost, safe=""))).fullmatch(text) is not None


class Bearer(NamedTuple):
    """See the module. A principal like `auth.User`, but one that is kept nowhere."""

    name: str
    tags: tuple[str, ...]
    scopes: tuple[Scope, ...]
    expires_ms: int

    def may_enter(self, vhost: str) -> bool:
        """May it open a connection to this virtual host: has it any right there?"""
        return any(_fits(scope.vhost, vhost, vhost) for scope in self.scopes)

    def allows(self, vhost: str, action: str, name: str, key: str | None = None) -> bool:
        """May it do `action` to the thing of this name, with this routing key if one is given?"""
        return any(
            scope.action == action
            and _fits(scope.vhost, vhost, vhost)
            and _fits(scope.name, name, vhost)
            and (key is None or _fits(scope.key, key, vhost))
            for scope in self.scopes
        )
