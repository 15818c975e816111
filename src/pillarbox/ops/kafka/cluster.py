"""The cluster as clients see it, which is this one broker, and who is connected: /kafka/cluster,
/kafka/connections.

Connections stand among those of all protocols under /connections, too, where they can be closed.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import TYPE_CHECKING, Any

from pillarbox.ops.kafka.seeing import view_of
from pillarbox.ops.kafka.traffic import fields_of
from pillarbox.ops.management import stats
from pillarbox.ops.management.fields import BOOLEAN, INTEGER, STRING, Document, Field, array, nullable
from pillarbox.ops.management.listing import Listing, show
from pillarbox.ops.management.routes import COLUMNS, LISTING, MANAGEMENT, SAMPLES, STATS, Many, Route

if TYPE_CHECKING:
    from pillarbox.ops.management.request import Request
    from pillarbox.protocols.kafka.connection import Connection
    from pillarbox.protocols.kafka.view import View


class ShownCluster:
    """The view, and what is added up over all topics once."""

    def __init__(self, view: View, request: Request) -> None:
        self.view = view
        self.cluster = view.cluster
        self.listeners = [
            {"protocol": bound.protocol, "host": bound.host, "port": bound.port}
            for bound in request.node.listeners
            if bound.protocol.partition("/")[0] == "kafka"
        ]

    @cached_property
    def topics(self) -> Any:
        return list(self.view.topics.all())

    @cached_property
    def traffic(self) -> Any:
        traffic = self.view.traffic
        return stats.values_of(traffic), traffic


_LISTENER = {"type": "object", "properties": {"protocol": STRING, "host": STRING, "port": INTEGER}}
# fmt: off
CLUSTER = Document(
    "KafkaCluster",
    Field("cluster_id", STRING, lambda s, r: s.cluster.cluster_id),
    Field("node_id", INTEGER, lambda s, r: s.cluster.node_id),
    Field("brokers", INTEGER, lambda s, r: 1),
    Field("version", STRING, lambda s, r: s.cluster.version),
    Field("vhost", STRING, lambda s, r: s.view.vhost.name),
    Field("listeners", array(_LISTENER), lambda s, r: s.listeners),
    Field("advertised", STRING, lambda s, r: s.cluster.advertised),
    Field("sasl_mechanisms", array(STRING), lambda s, r: list(s.cluster.mechanisms)),
    Field("anonymous_user", nullable(STRING), lambda s, r: s.cluster.anonymous_user or None),
    Field("log_dir", STRING, lambda s, r: s.cluster.log_dir),
    Field("topics", INTEGER, lambda s, r: len(s.topics)),
    Field("partitions", INTEGER, lambda s, r: sum([len(topic.partitions) for topic in s.topics])),
    Field("groups", INTEGER, lambda s, r: s.view.group_count),
    Field("connections", INTEGER, lambda s, r: len(s.view.connections)),
    *fields_of(lambda s: s.traffic),
)


def _software(which: int) -> Any:
    return lambda connection, request: connection.client_software[which]


CONNECTION = Document(
    "KafkaConnection",
    Field("name", STRING, lambda c, r: c.peer),
    Field("client_id", nullable(STRING), lambda c, r: c.client_id),
    Field("client_software_name", STRING, _software(0)),
    Field("client_software_version", STRING, _software(1)),
    Field("user", STRING, lambda c, r: c.session.user.name),
    Field("sasl_mechanism", nullable(STRING), lambda c, r: c.sasl_mechanism or None),
    Field("peer_host", STRING, lambda c, r: c.addresses[0]),
    Field("peer_port", INTEGER, lambda c, r: c.addresses[1]),
    Field("host", STRING, lambda c, r: c.addresses[2]),
    Field("port", INTEGER, lambda c, r: c.addresses[3]),
    Field("ssl", BOOLEAN, lambda c, r: c.tls is not None),
    Field("state", STRING, lambda c, r: c.flow_state),
    Field("recv_oct", INTEGER, lambda c, r: c.traffic.recv_oct),
    Field("send_oct", INTEGER, lambda c, r: c.traffic.send_oct),
)
"""`host` and `port` are those of the listener that has accepted it."""
# fmt: on


def cluster(request: Request) -> Iterator[bytes]:
    return show(ShownCluster(view_of(request), request), CLUSTER, request)


def connections(request: Request) -> Listing:
    def seen(connection: Connection) -> bool:
        return connection.session is not None and request.sees_session(connection.session)

    return Listing(
        [one for one in view_of(request).connections if seen(one)], CONNECTION, lambda one: one.peer
    )


ROUTES = (
    Route(
        "GET",
        "/kafka/cluster",
        cluster,
        MANAGEMENT,
        "The cluster as Kafka's clients see it, and what it does.",
        CLUSTER,
        parameters=(*COLUMNS, *STATS, *SAMPLES),
    ),
    Route(
        "GET",
        "/kafka/connections",
        connections,
        MANAGEMENT,
        "Kafka's clients that the user may see: its own, or all.",
        Many(CONNECTION),
        parameters=LISTING,
    ),
)
