"""The rows of the route table: one per method and path.

A resource's module has a tuple of them, `ROUTES`. Who may do it is a `Right`, as RabbitMQ has them: a set of
user tags, and whether the virtual host in the path must be one that the user may enter.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from pillarbox.ops.management.fields import ANY, BOOLEAN, INTEGER, STRING, Document, Schema

if TYPE_CHECKING:
    from pillarbox.ops.management.request import Request


class Right(NamedTuple):
    """Who may do something. Tags: one of these is needed (none: anybody may, without logging in)."""

    name: str
    tags: frozenset[str] = frozenset()
    refusal: str = ""
    enters: bool = False
    """Only in virtual hosts for which the user has permissions."""
    everywhere: frozenset[str] = frozenset()
    """Tags with which permissions do not matter."""


_ALL = frozenset(("management", "policymaker", "monitoring", "administrator"))

PUBLIC = Right("public")
MANAGEMENT = Right("management", _ALL, "Not management user")
MONITORING = Right("monitoring", frozenset(("monitoring", "administrator")), "Not monitor user")
ADMINISTRATOR = Right("administrator", frozenset(("administrator",)), "Not administrator user")
SEES = Right("sees the virtual host", _ALL, "Not management user", enters=True, everywhere=MONITORING.tags)
ENTERS = Right("enters the virtual host", _ALL, "Not management user", enters=True)
POLICYMAKER = Right(
    "policymaker, any virtual host", frozenset(("policymaker", "administrator")), "Not policymaker"
)
POLICIES = POLICYMAKER._replace(name="policymaker", enters=True, everywhere=ADMINISTRATOR.tags)

NOT_YOUR_VHOST = "User not authorised to access virtual host"


class Parameter(NamedTuple):
    """A parameter of the query (or a header, with `where="header"`)."""

    name: str
    schema: Schema
    help: str
    where: str = "query"


class Many(NamedTuple):
    """The answer is a list of these, or a page of it."""

    document: Document


Shown = Document | Many | Schema
"""What an answer holds."""


class Route(NamedTuple):
    """One row. `path` stands under /api, with names in braces; `body` is a type that msgspec reads."""

    method: str
    path: str
    handler: Callable[[Request], Any]
    right: Right
    summary: str
    answer: Shown | None = None
    body: type[msgspec.Struct] | Any = None
    parameters: tuple[Parameter, ...] = ()
    status: int = 200
    """Of an answer that does not say."""
    or_nothing: bool = False
    """204 without a document where there is nothing to say."""


class Resource(NamedTuple):
    """The routes of one file, under the name that the OpenAPI document gives them."""

    name: str
    routes: tuple[Route, ...]


LISTING = (
    Parameter("page", INTEGER, "The page to show; the first is 1. Without it, everything is shown."),
    Parameter("page_size", INTEGER, "Items of a page, at most 500; 100 unless said."),
    Parameter("name", STRING, "Show only items whose name has this in it; needs `page`."),
    Parameter("use_regex", BOOLEAN, "`name` is a regular expression."),
    Parameter("sort", STRING, "The column to sort by, with dots for what is inside another."),
    Parameter("sort_reverse", BOOLEAN, "Show the last first."),
    Parameter("columns", STRING, "Only these columns, with commas between them."),
)
STATS = (
    Parameter("disable_stats", BOOLEAN, "Leave statistics out."),
    Parameter("enable_queue_totals", BOOLEAN, "Show counts of messages although statistics are left out."),
)
SAMPLES = tuple(
    Parameter(f"{what}_{part}", INTEGER, help)
    for what in ("lengths", "msg_rates", "data_rates")
    for part, help in (("age", "Show samples of so many seconds."), ("incr", "Seconds between two of them."))
)
COLUMNS = (LISTING[-1],)

DOCUMENT: Schema = {"type": "object"}
ANYTHING: Schema = ANY
