"""Transactional ids and their transactions: /kafka/transactions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from pillarbox.ops.kafka.seeing import lists, view_of
from pillarbox.ops.management.fields import INTEGER, STRING, Document, Field, array, nullable
from pillarbox.ops.management.listing import Listing
from pillarbox.ops.management.routes import LISTING, MANAGEMENT, Many, Route

if TYPE_CHECKING:
    from pillarbox.ops.management.request import Request
    from pillarbox.protocols.kafka.transactions import Transaction


class Shown(NamedTuple):
    transaction: Transaction
    started_ms: int | None
    """None: none is open."""


def _places(shown: Shown, request: Request) -> list[dict[str, Any]]:
    places = sorted(shown.transaction.partitions.values())
    return [{"topic": topic, "partition": partition} for topic, partition in places]


def _age_ms(shown: Shown, request: Request) -> int | None:
    return None if shown.started_ms is None else request.now_ms - shown.started_ms


_PLACE = {"type": "object", "properties": {"topic": STRING, "partition": INTEGER}}
TRANSACTION = Document(
    "KafkaTransaction",
    Field("name", STRING, lambda s, r: s.transaction.name),
    Field("state", STRING, lambda s, r: s.transaction.state.value),
    Field("producer_id", INTEGER, lambda s, r: s.transaction.producer_id),
    Field("producer_epoch", INTEGER, lambda s, r: s.transaction.epoch),
    Field("timeout_ms", INTEGER, lambda s, r: s.transaction.timeout_ms),
    Field("started_at", nullable(INTEGER), lambda s, r: s.started_ms),
    Field("age_ms", nullable(INTEGER), _age_ms),
    Field("partitions", array(_PLACE), _places),
)
"""`name` is the transactional id; times are there while a transaction is open."""


def transactions(request: Request) -> Listing:
    view = view_of(request)
    found = (
        Shown(one, one.started_ms if view.is_open(one) else None)
        for one in view.transactions()
        if lists(request, "transaction", one.name)
    )
    return Listing(found, TRANSACTION, lambda shown: shown.transaction.name)


ROUTES = (
    Route(
        "GET",
        "/kafka/transactions",
        transactions,
        MANAGEMENT,
        "All transactional ids that the user may see.",
        Many(TRANSACTION),
        parameters=LISTING,
    ),
)
