"""What clients ask of a cluster and its releases: feature flags, balance, effective settings.

There is one node, and every feature is on. Source: RabbitMQ's management API; the flags are those of 3.10.8
and of 3.13 that clients look for. Row R118.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pillarbox.broker.auth import SALT_BYTES, hash_password
from pillarbox.ops.management.fields import STRING, Document, Field
from pillarbox.ops.management.listing import Listing
from pillarbox.ops.management.request import not_found
from pillarbox.ops.management.routes import ADMINISTRATOR, DOCUMENT, LISTING, MANAGEMENT, Many, Route

if TYPE_CHECKING:
    from pillarbox.ops.management.request import Request

FLAGS = {
    "classic_mirrored_queue_version": "versions of classic queues",
    "classic_queue_type_delivery_support": "deliveries of classic queues",
    "direct_exchange_routing_v2": "routing of direct exchanges by one look-up",
    "drop_unroutable_metric": "unroutable publishes that are dropped are counted",
    "empty_basic_get_metric": "basic.get on empty queues is counted",
    "feature_flags_v2": "feature flags",
    "implicit_default_bindings": "bindings of the default exchange are not stored",
    "listener_records_in_ets": "listeners",
    "maintenance_mode_status": "maintenance mode",
    "message_containers": "messages in their sender's encoding",
    "quorum_queue": "queues of type quorum",
    "restart_streams": "streams that are restarted",
    "stream_filtering": "stream filters",
    "stream_queue": "queues of type stream",
    "stream_sac_coordinator_unblock_group": "single active consumers of streams",
    "stream_single_active_consumer": "single active consumers of streams",
    "stream_update_config_command": "settings of streams",
    "tracking_records_in_ets": "tracking of connections",
    "user_limits": "limits of users",
    "virtual_host_metadata": "metadata of virtual hosts",
}
"""Name → what it is about."""

FLAG = Document(
    "FeatureFlag",
    Field("name", STRING, lambda item, request: item[0]),
    Field("desc", STRING, lambda item, request: item[1]),
    Field("doc_url", STRING, lambda item, request: ""),
    Field("state", STRING, lambda item, request: "enabled"),
    Field("stability", STRING, lambda item, request: "stable"),
    Field("provided_by", STRING, lambda item, request: "rabbit"),
)


def flags(request: Request) -> Listing:
    return Listing(list(FLAGS.items()), FLAG)


def enable(request: Request) -> None:
    if request.path["flag"] not in FLAGS:
        raise not_found()


def deprecated(request: Request) -> list[Any]:
    """Nothing is going to be taken away here; who uses what RabbitMQ takes away is told in the log (I7)."""
    return []


def balance(request: Request) -> None:
    """All queues lead where they are."""


def hashed(request: Request) -> dict[str, str]:
    """A password as definitions have it."""
    return {"ok": hash_password(request.path["password"], request.core.random(SALT_BYTES))}


ROUTES = (
    Route("GET", "/feature-flags", flags, MANAGEMENT, "All feature flags.", Many(FLAG), parameters=LISTING),
    Route("PUT", "/feature-flags/{flag}/enable", enable, ADMINISTRATOR, "Enable one: it is.", status=204),
    Route("GET", "/deprecated-features", deprecated, MANAGEMENT, "Deprecated features.", {"type": "array"}),
    Route("GET", "/deprecated-features/used", deprecated, MANAGEMENT, "Those in use.", {"type": "array"}),
    Route("POST", "/rebalance/queues", balance, ADMINISTRATOR, "Balance queues over nodes.", status=204),
    Route("GET", "/auth/hash_password/{password}", hashed, ADMINISTRATOR, "Hash a password.", DOCUMENT),
)
