"""`$SYS`: what the broker says of itself, under the topics and in the form of Mosquitto.

Nothing is worked out unless somebody subscribes to a filter that begins with `$SYS`: who does is told all
values at once, as if they were retained, and every interval those that have changed. They concern the whole
broker, whichever virtual host asks; who may see them is a matter of permissions, as with every topic. Clients
may not publish there. Not here: shared subscriptions, which get none of it.

Source: mosquitto(8), "Broker status"; measured with Mosquitto 2.0.11.
"""

from __future__ import annotations

from collections.abc import Callable
from math import exp
from typing import TYPE_CHECKING, Final, NamedTuple

from pillarbox import __version__
from pillarbox.broker.run import body_bytes_of, message_bytes_of
from pillarbox.engine.base import NO_EXPIRATION, Address, Message
from pillarbox.protocols.mqtt import stored, topics

if TYPE_CHECKING:
    from pillarbox.protocols.mqtt.head import Head
    from pillarbox.protocols.mqtt.sessions import ClientSession

ROOT: Final = topics.READ_ONLY
QOS: Final = 2
"""As Mosquitto publishes it; subscribers get what they asked for."""

MINUTES: Final = (1, 5, 15)
"""Over which loads are averaged, the last ones counting most."""
LOADS: Final = {
    "messages/received": "packets_in",
    "messages/sent": "packets_out",
    "publish/received": "publishes_in",
    "publish/sent": "publishes_out",
    "bytes/received": "bytes_in",
    "bytes/sent": "bytes_out",
    "sockets": "sockets",
    "connections": "connections",
}
"""What is said of a minute, and the total that it is made of."""


class Traffic:
    """Totals of all clients since the head was made; added to once per batch."""

    __slots__ = (
        "bytes_in",
        "bytes_out",
        "clients_max",
        "connections",
        "packets_in",
        "packets_out",
        "payload_in",
        "payload_out",
        "publishes_in",
        "publishes_out",
        "sockets",
    )

    def __init__(self) -> None:
        self.packets_in = self.packets_out = self.bytes_in = self.bytes_out = 0
        self.publishes_in = self.publishes_out = self.payload_in = self.payload_out = 0
        self.sockets = self.connections = self.clients_max = 0

    def __repr__(self) -> str:
        return f"<Traffic in={self.packets_in} out={self.packets_out}>"


class Value(NamedTuple):
    """One topic below `$SYS/broker/`."""

    topic: str
    value: Callable[[Head], object]


VALUES: Final = (
    Value("version", lambda head: f"pillarbox version {__version__}"),
    Value("uptime", lambda head: f"{(head.core.changes.now_ms - head.core.started_ms) // 1000} seconds"),
    Value("clients/active", lambda head: head.sessions.connected),
    Value("clients/connected", lambda head: head.sessions.connected),
    Value("clients/disconnected", lambda head: len(head.sessions.by_client) - head.sessions.connected),
    Value("clients/expired", lambda head: head.sessions.expired),
    Value("clients/inactive", lambda head: len(head.sessions.by_client) - head.sessions.connected),
    Value("clients/maximum", lambda head: head.traffic.clients_max),
    Value("clients/total", lambda head: len(head.sessions.by_client)),
    Value("messages/received", lambda head: head.traffic.packets_in),
    Value("messages/sent", lambda head: head.traffic.packets_out),
    Value("publish/messages/received", lambda head: head.traffic.publishes_in),
    Value("publish/messages/sent", lambda head: head.traffic.publishes_out),
    Value("publish/bytes/received", lambda head: head.traffic.payload_in),
    Value("publish/bytes/sent", lambda head: head.traffic.payload_out),
    Value("bytes/received", lambda head: head.traffic.bytes_in),
    Value("bytes/sent", lambda head: head.traffic.bytes_out),
    Value("subscriptions/count", lambda head: head.sessions.subscriptions),
    Value("shared_subscriptions/count", lambda head: head.sessions.shared_subscriptions),
    Value("retained messages/count", lambda head: head.retained.count),
)


class SysTopics:
    """See the module. `interval_s` 0: there is nothing of all this."""

    def __init__(self, head: Head, interval_s: int) -> None:
        self._head = head
        self._interval_ms = interval_s * 1000
        self._watchers: dict[ClientSession, None] = {}
        self._told: dict[str, str] = {}
        """The values of the last interval."""
        self._timed = False
        self._loads = {name: [0.0] * len(MINUTES) for name in LOADS}
        self._totals = dict.fromkeys(LOADS, 0)
        self._loaded_ms = head.core.changes.now_ms

    def __repr__(self) -> str:
        return f"<SysTopics watchers={len(self._watchers)}>"

    def watch(self, state: ClientSession) -> None:
        """Tell a client from now on, as long as it is connected and subscribes to any of it."""
        if self._interval_ms and watches(state):
            self._watchers[state] = None
            if not self._timed:
                self._timed = True
                self._told = self._values()
                core = self._head.core
                core.scheduler.at(core.changes.now_ms + self._interval_ms, self)

    def tell(self, state: ClientSession, pattern: str) -> None:
        """Tell a new subscriber what a filter takes, as if it were retained."""
        if self._interval_ms and pattern.startswith(ROOT):
            found = {topic: text for topic, text in self._values().items() if topics.matches(pattern, topic)}
            self._publish(state, found, retained=True)

    def on_timer(self, now_ms: int) -> None:
        """Tell everybody what has changed; nobody left: it ends."""
        self._watchers = dict.fromkeys(one for one in self._watchers if one.connection and watches(one))
        self._timed = bool(self._watchers)
        if not self._timed:
            return
        values = self._values()
        changed = {topic: text for topic, text in values.items() if self._told.get(topic) != text}
        self._told = values
        for state in self._watchers:
            taken = {topic: text for topic, text in changed.items() if state.grant(topic) is not None}
            self._publish(state, taken, retained=False)
        self._head.core.scheduler.at(now_ms + self._interval_ms, self)

    def _publish(self, state: ClientSession, values: dict[str, str], *, retained: bool) -> None:
        """Put values into a client's own queue; none of it outlives the broker."""
        core = self._head.core
        queue = core.vhosts[state.vhost].queues.get(state.queue_name)
        if queue is None or not values:
            return
        properties = stored.pack(QOS, retain=True, retained=retained)
        messages = [
            Message(
                Address(stored.ORIGIN, topics.EXCHANGE, topics.routing_key(topic)),
                properties,
                text.encode(),
                core.changes.now_ms,
                NO_EXPIRATION,
                False,
            )
            for topic, text in values.items()
        ]
        core.publish(
            (queue,),
            messages,
            body_bytes_of(messages),
            persistent=False,
            expiring=False,
            prioritized=False,
            message_bytes=message_bytes_of(messages),
        )

    def _values(self) -> dict[str, str]:
        """All there are, by topic."""
        self._average()
        values = {f"{ROOT}/broker/{topic}": str(value(self._head)) for topic, value in VALUES}
        for name, averages in self._loads.items():
            for minutes, average in zip(MINUTES, averages, strict=True):
                values[f"{ROOT}/broker/load/{name}/{minutes}min"] = f"{average:.2f}"
        return values

    def _average(self) -> None:
        """Bring loads up to now. What has come since the last look is taken to have come evenly."""
        now_ms = self._head.core.changes.now_ms
        passed_s = (now_ms - self._loaded_ms) / 1000
        if passed_s < 1:
            return
        self._loaded_ms = now_ms
        for name, attribute in LOADS.items():
            total = getattr(self._head.traffic, attribute)
            rate = (total - self._totals[name]) * 60 / passed_s
            self._totals[name] = total
            averages = self._loads[name]
            for place, minutes in enumerate(MINUTES):
                averages[place] = rate + exp(-passed_s / (60 * minutes)) * (averages[place] - rate)


def watches(state: ClientSession) -> bool:
    """Does it subscribe to any of this?"""
    return any(raw.startswith(ROOT) for raw in state.subscriptions)
