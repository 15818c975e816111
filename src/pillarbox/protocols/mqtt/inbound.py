"""What a client publishes: where it goes, and the answers of QoS 1 and 2 in the order of the messages.

A message of QoS 2 enters its queues in the same group as the note that its identifier was seen, so it is
there exactly once whatever happens. Not here: packets and their order (`connection`).

Source: MQTT 5.0, 3.3, 4.3, 4.4; rows R141, R90, R93.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

from pillarbox.broker.confirm import Publisher
from pillarbox.broker.target import Target, find_target
from pillarbox.engine.base import NO_EXPIRATION, Address, Message
from pillarbox.errors import BrokerError, Reason
from pillarbox.protocols.mqtt import packets, stored, topics
from pillarbox.protocols.mqtt.errors import reason_of
from pillarbox.protocols.mqtt.packets import Publish
from pillarbox.protocols.mqtt.primitives import WireError
from pillarbox.protocols.mqtt.properties import PUBACK, PUBCOMP, PUBREC
from pillarbox.protocols.mqtt.reasons import ReasonCode
from pillarbox.protocols.mqtt.retained import Retained

if TYPE_CHECKING:
    from pillarbox.broker.consumer import Consumer
    from pillarbox.broker.queue import Queue
    from pillarbox.broker.run import Run
    from pillarbox.broker.session import Session
    from pillarbox.protocols.mqtt.connection import Connection
    from pillarbox.protocols.mqtt.head import Head

EXCHANGE: Final = "amq.topic"

ROUTES_MAX: Final = 4096
"""Topics whose routes a connection keeps; about 500 bytes each."""

ALIASES_MAX: Final = 100
"""Topic aliases that a client may set (3.3.2.3.4)."""

ANSWERS: Final = {1: PUBACK, 2: PUBREC}


def target_of(session: Session, topic: str) -> Target:
    """Where messages of a topic go. Raises BrokerError."""
    return find_target(session, stored.ORIGIN, EXCHANGE, topics.routing_key(topic))


def message_of(publish: Publish, address: Address, now_ms: int, sender: str = "") -> Message:
    """What is stored of a PUBLISH."""
    seconds = publish.properties.get("message_expiry_interval")
    return Message(
        address,
        stored.pack(publish.qos, stored.kept(publish.properties), retain=publish.retain, sender=sender),
        publish.payload,
        now_ms,
        NO_EXPIRATION if seconds is None else seconds * 1000,
        publish.qos > 0,
    )


def hand_over(head: Head, session: Session, target: Target, publish: Publish, message: Message) -> bool:
    """Put a message into its queues, and retain it if that is asked for.

    Returns whether any of that has to become durable. Raises BrokerError.
    """
    kept, refused = target.publish(head.core, message)
    if publish.retain:
        properties = stored.kept(publish.properties)
        head.retained.put(
            session.vhost.name,
            Retained(
                publish.topic,
                publish.payload,
                properties,
                publish.qos,
                message.accepted_ms,
                message.expiration_ms,
            ),
        )
        kept = kept or head.core.changes.has_facts
    if refused:
        raise BrokerError(Reason.NOT_ALLOWED, "a queue is full")
    return kept


class Inbound:
    """See the module; it is the `Waiting` of its publisher."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._core = connection.head.core
        self.publisher = Publisher(self)
        self._aliases: dict[int, str] = {}
        self._targets: dict[str, Target] = {}
        self._answers: deque[tuple[int, int]] = deque()
        """Kind of answer and packet identifier of each message that waits for its confirm, in order."""

    def __repr__(self) -> str:
        return f"<Inbound waiting={len(self._answers)}>"

    def publish(self, publish: Publish) -> None:
        """Take one message. Raises WireError for what ends the connection."""
        topic = self._topic(publish)
        connection = self._connection
        session = connection.state
        assert session is not None
        if publish.qos == 2 and publish.packet_id in session.received:
            connection.answer_when_durable(PUBREC, publish.packet_id)
            return
        if topic != publish.topic:
            publish = Publish(
                topic=topic,
                payload=publish.payload,
                qos=publish.qos,
                retain=publish.retain,
                packet_id=publish.packet_id,
                properties=publish.properties,
            )
        try:
            kept = self._accept(publish)
        except BrokerError as error:
            self._refuse(publish, error)
            return
        connection.outbound.counters.publish += 1
        if self._core.held:
            connection.published = True
        if publish.qos:
            if publish.qos == 2:
                session.add_received(publish.packet_id)
                kept = kept or self._core.changes.has_facts
            self._answers.append((ANSWERS[publish.qos], publish.packet_id))
            self._core.confirms.accept(self.publisher, 1, kept)

    def _accept(self, publish: Publish) -> bool:
        connection = self._connection
        assert connection.session is not None
        assert connection.state is not None
        target = self._targets.get(publish.topic)
        if target is None or not target.is_valid:
            target = target_of(connection.session, publish.topic)
            if len(self._targets) >= ROUTES_MAX:
                self._targets.clear()
            self._targets[publish.topic] = target
        sender = connection.state.client_id if connection.state.keeps_out_own else ""
        message = message_of(publish, target.address, self._core.changes.now_ms, sender)
        return hand_over(connection.head, connection.session, target, publish, message)

    def forget_routes(self) -> None:
        """The client's permissions have changed."""
        self._targets.clear()

    def _topic(self, publish: Publish) -> str:
        """The topic of a PUBLISH, which may be given by an alias (3.3.2.3.4)."""
        alias = publish.properties.get("topic_alias")
        if alias is None:
            topics.demand_name(publish.topic)
            return publish.topic
        if alias > ALIASES_MAX:
            raise WireError(ReasonCode.TOPIC_ALIAS_INVALID, f"topic alias {alias}")
        if publish.topic:
            topics.demand_name(publish.topic)
            self._aliases[alias] = publish.topic
        elif alias not in self._aliases:
            raise WireError(ReasonCode.PROTOCOL_ERROR, f"topic alias {alias}, which stands for nothing")
        return self._aliases[alias]

    def _refuse(self, publish: Publish, error: BrokerError) -> None:
        """Say no, as the version can: before 5 only by closing, which would be so for QoS 0 as well."""
        connection = self._connection
        reason = reason_of(error)
        if connection.version < packets.V5 or not publish.qos:
            raise WireError(reason, error.text) from None
        connection.send(
            packets.answer(ANSWERS[publish.qos], publish.packet_id, packets.V5, reason, error.text)
        )

    def released(self, packet_id: int) -> None:
        """PUBREL: a message of QoS 2 will not come again."""
        connection = self._connection
        session = connection.state
        assert session is not None
        if packet_id not in session.received:
            reason = ReasonCode.PACKET_IDENTIFIER_NOT_FOUND
            connection.send(packets.answer(PUBCOMP, packet_id, connection.version, reason))
            return
        session.drop_received(packet_id)
        connection.answer_when_durable(PUBCOMP, packet_id)

    # --- as a sink: see `sink.Waiting` ------------------------------------------------------------------

    def confirm(self, tag_first: int, tag_last: int) -> None:
        """These messages are safe."""
        connection = self._connection
        for _ in range(tag_first, tag_last + 1):
            kind, packet_id = self._answers.popleft()
            connection.send(packets.answer(kind, packet_id, connection.version))

    def refuse(self, tag_first: int, tag_last: int) -> None:
        raise AssertionError("what is refused is refused at once")

    def disconnect(self, reason: Reason, text: str) -> None:
        """What waits can never be safe."""
        self._connection.refuse(ReasonCode.UNSPECIFIED, text)

    def deliver(self, consumer: Consumer, run: Run, tag_first: int) -> None:
        raise AssertionError("nothing is consumed here")

    def consumer_cancelled(self, consumer: Consumer) -> None:
        raise AssertionError("nothing is consumed here")

    def time_answers(self, queue: Queue) -> None:
        raise AssertionError("nothing is consumed here")
