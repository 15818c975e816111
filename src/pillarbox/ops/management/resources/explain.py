"""Why a queue is as it is: /queues/…/explain. Ours; what is found stands in `explanation`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pillarbox.ops.management.explanation import EXPLANATION, Case, explain, summary
from pillarbox.ops.management.routes import SEES, Route

if TYPE_CHECKING:
    from pillarbox.ops.management.request import Request


def show(request: Request) -> dict[str, Any]:
    case = Case(request.queue, request.vhost, request.core, request.now_ms, request.sampler.stalls)
    return {"summary": summary(case), "findings": [finding._asdict() for finding in explain(case)]}


ROUTES = (
    Route("GET", "/queues/{vhost}/{queue}/explain", show, SEES, "Why a queue is as it is.", EXPLANATION),
)
