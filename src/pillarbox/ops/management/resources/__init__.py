"""The resources of the management API: one file each, with its routes in `ROUTES`. See the package above."""

from __future__ import annotations

from pillarbox.ops.management.resources import (
    bindings,
    channels,
    connections,
    consumers,
    exchanges,
    nodes,
    overview,
    queues,
    whoami,
)
from pillarbox.ops.management.routes import Resource

RESOURCES = (
    Resource("Overview", overview.ROUTES),
    Resource("Nodes", nodes.ROUTES),
    Resource("Users", whoami.ROUTES),
    Resource("Connections", connections.ROUTES),
    Resource("Channels", channels.ROUTES),
    Resource("Consumers", consumers.ROUTES),
    Resource("Exchanges", exchanges.ROUTES),
    Resource("Queues", queues.ROUTES),
    Resource("Bindings", bindings.ROUTES),
)
"""In the order of the manual. Of two paths that fit, the first counts: names before placeholders."""
