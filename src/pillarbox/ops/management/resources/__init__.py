"""The resources of the management API: one file each, with its routes in `ROUTES`. See the package above.

Those of a single protocol are in a package of their own (`ops.operators`).
"""

from __future__ import annotations

from pillarbox.ops.management.resources import (
    bindings,
    channels,
    connections,
    consumers,
    declaring,
    definitions,
    exchanges,
    explain,
    features,
    health,
    limits,
    messages,
    nodes,
    overview,
    parameters,
    permissions,
    policies,
    queues,
    shovels,
    super_streams,
    traces,
    users,
    vhosts,
    watermarks,
    whoami,
)
from pillarbox.ops.management.routes import Resource
from pillarbox.ops.messaging import resources as messaging
from pillarbox.ops.operators import all_modules

RESOURCES = (
    Resource("Overview", overview.ROUTES),
    Resource("Nodes", (*nodes.ROUTES, *watermarks.ROUTES)),
    Resource("Who is asking", whoami.ROUTES),
    Resource("Connections", connections.ROUTES),
    Resource("Channels", channels.ROUTES),
    Resource("Consumers", consumers.ROUTES),
    Resource("Exchanges", exchanges.ROUTES),
    Resource("Queues", queues.ROUTES),
    Resource("Super streams", super_streams.ROUTES),
    Resource("Bindings", bindings.ROUTES),
    Resource("Making and removing", declaring.ROUTES),
    Resource("Explanations", explain.ROUTES),
    Resource("Messages", messages.ROUTES),
    Resource("Traces", traces.ROUTES),
    Resource("Virtual hosts", vhosts.ROUTES),
    Resource("Users", users.ROUTES),
    Resource("Permissions", permissions.ROUTES),
    Resource("Policies", policies.ROUTES),
    Resource("Limits", limits.ROUTES),
    Resource("Parameters", parameters.ROUTES),
    Resource("Shovels", shovels.ROUTES),
    Resource("Definitions", definitions.ROUTES),
    Resource("Destinations and subscribers", messaging.ROUTES),
    Resource("Features", features.ROUTES),
    Resource("Health", health.ROUTES),
    *(resource for module in all_modules() for resource in module.RESOURCES),
)
"""In the order of the manual. Of two paths that fit, the first counts: names before placeholders."""
