"""Runtime parameters: /parameters, /global-parameters, and the broker's name: /cluster-name.

A parameter belongs to a component and a virtual host. Limits and operator policies are such, and have
resources of their own as well. Source: RabbitMQ's management API; texts measured on 3.10.8. Rows R97, R115.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import msgspec

from pillarbox.broker.administration import put_global_parameter, remove_global_parameter
from pillarbox.broker.export_definitions import parameters_of
from pillarbox.ops.management.fields import ANY, STRING, Document, Field
from pillarbox.ops.management.listing import Listing
from pillarbox.ops.management.listing import show as shown
from pillarbox.ops.management.request import CREATED, Answer, bad_request, not_found
from pillarbox.ops.management.routes import ADMINISTRATOR, LISTING, POLICIES, POLICYMAKER, Many, Route

if TYPE_CHECKING:
    from pillarbox.ops.management.request import Request

PARAMETER = Document(
    "Parameter",
    Field("value", ANY, lambda item, request: item["value"]),
    Field("vhost", STRING, lambda item, request: item["vhost"]),
    Field("component", STRING, lambda item, request: item["component"]),
    Field("name", STRING, lambda item, request: item["name"]),
)
GLOBAL_PARAMETER = Document(
    "GlobalParameter",
    Field("name", STRING, lambda item, request: item[0]),
    Field("value", ANY, lambda item, request: item[1]),
)
CLUSTER_NAME = "cluster_name"

_NO_FEDERATION = "Pillarbox has no federation: a client that consumes there and publishes here does it\n"
INSTEAD = {
    "federation-upstream": _NO_FEDERATION,
    "federation-upstream-set": _NO_FEDERATION,
}
"""What to do without the plugins whose parameters these are. The refusal is RabbitMQ's without them."""


class Value(msgspec.Struct):
    """What a parameter is set to."""

    value: Any


class ClusterName(msgspec.Struct):
    """What the broker shall be called."""

    name: str


def _found(request: Request) -> Iterator[dict[str, Any]]:
    """The parameters that the path names, of those that the user may see."""
    component, name = request.path.get("component"), request.path.get("name")
    for vhost in request.visible_vhosts():
        for item in parameters_of(request.core, vhost):
            if component in (None, item["component"]) and name in (None, item["name"]):
                yield {"vhost": vhost.name, **item}


def show_all(request: Request) -> Listing:
    return Listing(list(_found(request)), PARAMETER)


def show(request: Request) -> Iterator[bytes]:
    for item in _found(request):
        return shown(item, PARAMETER, request)
    raise not_found()


def put(request: Request) -> Answer | None:
    component, name = request.path["component"], request.path["name"]
    found = request.core.parameters.components.get(component)
    if found is None:
        instead = INSTEAD.get(component, "")
        raise bad_request(f"Validation failed\n\ncomponent {component} not found\n{instead}")
    new = not any(_found(request))
    found.put(request.vhost, name, request.body.value, request.user)
    return CREATED if new else None


def remove(request: Request) -> None:
    path = request.path
    if not request.core.parameters.remove(request.vhost, path["component"], path["name"]):
        raise not_found()


def show_globals(request: Request) -> Listing:
    return Listing(list(request.core.global_parameters.items()), GLOBAL_PARAMETER)


def _global(request: Request) -> str:
    name = request.path["name"]
    if name not in request.core.global_parameters:
        raise not_found()
    return name


def show_global(request: Request) -> Iterator[bytes]:
    name = _global(request)
    item = name, request.core.global_parameters[name]
    return shown(item, GLOBAL_PARAMETER, request)


def put_global(request: Request) -> Answer | None:
    name = request.path["name"]
    new = name not in request.core.global_parameters
    put_global_parameter(request.core, name, request.body.value)
    return CREATED if new else None


def remove_global(request: Request) -> None:
    remove_global_parameter(request.core, _global(request))


def rename(request: Request) -> None:
    put_global_parameter(request.core, CLUSTER_NAME, request.body.name)


_ONE = "/parameters/{component}/{vhost}/{name}"
_GLOBAL = "/global-parameters/{name}"

ROUTES = (
    Route(
        "GET", "/parameters", show_all, POLICYMAKER, "All parameters.", Many(PARAMETER), parameters=LISTING
    ),
    Route(
        "GET",
        "/parameters/{component}",
        show_all,
        POLICYMAKER,
        "The parameters of a component.",
        Many(PARAMETER),
        parameters=LISTING,
    ),
    Route(
        "GET",
        "/parameters/{component}/{vhost}",
        show_all,
        POLICIES,
        "The parameters of a component in a virtual host.",
        Many(PARAMETER),
        parameters=LISTING,
    ),
    Route("GET", _ONE, show, POLICIES, "A parameter.", PARAMETER),
    Route("PUT", _ONE, put, POLICIES, "Set a parameter.", body=Value, status=201),
    Route("DELETE", _ONE, remove, POLICIES, "Remove a parameter.", status=204),
    Route(
        "GET",
        "/global-parameters",
        show_globals,
        POLICYMAKER,
        "All parameters of the whole broker.",
        Many(GLOBAL_PARAMETER),
        parameters=LISTING,
    ),
    Route("GET", _GLOBAL, show_global, POLICYMAKER, "A parameter of the whole broker.", GLOBAL_PARAMETER),
    Route("PUT", _GLOBAL, put_global, ADMINISTRATOR, "Set one.", body=Value, status=201),
    Route("DELETE", _GLOBAL, remove_global, ADMINISTRATOR, "Remove one.", status=204),
    Route("PUT", "/cluster-name", rename, ADMINISTRATOR, "Name the broker.", body=ClusterName, status=204),
)
