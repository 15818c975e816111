"""Where the table comes from: two documents of a management API, asked for together."""

from __future__ import annotations

from typing import NamedTuple

from pillarbox.ops.api_client import ApiClient, Unreachable, path
from pillarbox.ops.monitor.table import QUEUE_FIELDS, Row, Totals, row_of, totals_of


class Shot(NamedTuple):
    """How things stood at one moment."""

    totals: Totals
    rows: list[Row]


def take(api: ApiClient, vhost: str | None = None) -> Shot:
    """Ask for how things stand, in one virtual host or in all. Raises ApiError and Unreachable."""
    overview = api.get("/overview")
    place = "/queues" if vhost is None else path("/queues/{vhost}", vhost=vhost)
    queues = api.get(place, columns=QUEUE_FIELDS)
    if not isinstance(overview, dict) or not isinstance(queues, list):
        raise Unreachable(f"what answers at {api.address} is no management API")
    rows = [row_of(queue) for queue in queues if isinstance(queue, dict)]
    return Shot(totals_of(overview, rows), rows)
