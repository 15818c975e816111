"""Where the table comes from: two documents of a management API, asked for together."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from pillarbox.ops.api_client import ApiClient, Unreachable, path
from pillarbox.ops.monitor.destinations import DESTINATIONS, SUBSCRIBERS
from pillarbox.ops.monitor.kafka import GROUPS, TOPICS
from pillarbox.ops.monitor.queues import QUEUES
from pillarbox.ops.monitor.table import Subject, Totals

SUBJECTS: Final = (QUEUES, TOPICS, GROUPS, DESTINATIONS, SUBSCRIBERS)
"""What can be watched."""


class Shot(NamedTuple):
    """How things stood at one moment."""

    subject: Subject
    totals: Totals
    rows: list[Any]


def take(api: ApiClient, subject: Subject = QUEUES, vhost: str | None = None) -> Shot:
    """Ask for how things stand, in one virtual host or in all. Raises ApiError and Unreachable."""
    overview = api.get(subject.overview)
    place = subject.path
    if vhost is not None and subject.path_in_vhost:
        place = path(subject.path_in_vhost, vhost=vhost)
    documents = api.get(place, columns=subject.fields)
    if not isinstance(overview, dict) or not isinstance(documents, list):
        raise Unreachable(f"what answers at {api.address} is no management API")
    rows = [subject.row_of(document) for document in documents if isinstance(document, dict)]
    return Shot(subject, subject.totals_of(overview, rows), rows)
