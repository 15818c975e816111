"""What a client publishes: where it goes, and the answers of QoS 1 and 2 in the order of the messages.

Messages that follow one another, to one topic and alike in all but their bodies, are handed over together. A
message of QoS 2 enters its queues in the same group as the note that its identifier was seen, so it is there
exactly once whatever happens. Not here: packets and their order (`connection`).

Source: MQTT 5.0, 3.3, 4.3, 4.4; rows R141, R90, R93.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from pillarbox.broker.confirm import Publisher
from pillarbox.broker.index import Envelope
from pillarbox.broker.lean import NO_DICT, NO_LIST
from pillarbox.broker.run import MESSAGE_BYTES
from pillarbox.broker.target import Target, find_target
from pillarbox.engine.base import NO_EXPIRATION, Message
from pillarbox.errors import BrokerError, Reason
from pillarbox.protocols.mqtt import packets, stored, topics
from pillarbox.protocols.mqtt.dialect import DIALECT
from pillarbox.protocols.mqtt.errors import reason_of
from pillarbox.protocols.mqtt.packets import Publish
from pillarbox.protocols.mqtt.primitives import WireError
from pillarbox.protocols.mqtt.properties import PUBACK, PUBCOMP, PUBLISH, PUBREC
from pillarbox.protocols.mqtt.reasons import ReasonCode
from pillarbox.protocols.mqtt.retained import Retained

if TYPE_CHECKING:
    from pillarbox.broker.session import Session
    from pillarbox.protocols.mqtt.connection import Connection
    from pillarbox.protocols.mqtt.head import Head

TARGETS_MAX: Final = 4096
"""Topics whose routes a connection keeps; about 500 bytes each."""

ALIASES_MAX: Final = 100
"""Topic aliases that a client may set (3.3.2.3.4)."""

RUN_MAX: Final = 500
"""Messages that are handed over together."""

ANSWERS: Final = {1: PUBACK, 2: PUBREC}


def target_of(session: Session, topic: str) -> Target:
    """Where messages of a topic go. Raises BrokerError."""
    if topic.startswith(topics.READ_ONLY):
        raise BrokerError(Reason.ACCESS_REFUSED, f"the topic {topic!r} is the broker's own")
    return find_target(session, stored.ORIGIN, topics.EXCHANGE, topics.routing_key(topic))


def looked_at(session: Session, target: Target, message: Message) -> Target:
    """The same where exchanges on the way look at each message: where this one goes. Raises BrokerError."""
    said = DIALECT.read(message)
    keys, envelope = (target.address.routing_key,), Envelope(said.headers, said.property_named)
    _, route = session.route(topics.EXCHANGE, keys, envelope)
    route.remember(keys, envelope, message)
    return target._replace(route=route)


def message_of(publish: Publish, target: Target, now_ms: int, sender: str = "") -> Message:
    """What is stored of a PUBLISH."""
    seconds = publish.properties.get("message_expiry_interval")
    return Message(
        target.address,
        stored.pack(publish.qos, stored.kept(publish.properties), retain=publish.retain, sender=sender),
        publish.payload,
        now_ms,
        NO_EXPIRATION if seconds is None else seconds * 1000,
        publish.qos > 0,
    )


def retain(head: Head, session: Session, publish: Publish, message: Message) -> None:
    """Keep a message for later subscribers."""
    retained = Retained(
        publish.topic,
        publish.payload,
        stored.kept(publish.properties),
        publish.qos,
        message.accepted_ms,
        message.expiration_ms,
    )
    head.retained.put(session.vhost.name, retained)


class Plain(NamedTuple):
    """What is known of messages without properties whose first byte and topic are the same."""

    topic: str
    qos: int
    properties: bytes


class Inbound:
    """See the module; it is the `Waiting` of its publisher."""

    __slots__ = (
        "_aliases",
        "_answers",
        "_connection",
        "_core",
        "_plain",
        "_run",
        "_run_bytes",
        "_run_ids",
        "_run_plain",
        "_run_target",
        "_targets",
        "publisher",
    )

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._core = connection.head.core
        self.publisher: Publisher | None = Publisher(self)
        self._aliases: dict[int, str] = NO_DICT
        self._targets: dict[str, Target] = NO_DICT
        self._plain: dict[bytes, Plain] = NO_DICT
        """By what a packet begins with: its first byte, and the topic as it is written."""
        self._run: list[Message] = NO_LIST
        """Taken, and not handed over yet: all alike."""
        self._run_target: Target | None = None
        self._run_plain: Plain | None = None
        self._run_bytes = 0
        self._run_ids: dict[int, None] = NO_DICT
        """Packet identifiers of those messages, in order, if they are of QoS 2."""
        self._answers: deque[tuple[int, int]] = NO_LIST
        """Kind of answer and packet identifier of each message that waits for its confirm, in order."""

    def __repr__(self) -> str:
        return f"<Inbound waiting={len(self._answers)}>"

    # --- many at a time ------------------------------------------------------------------------------

    def take(self, first: int, data: bytes, start: int, end: int) -> int:
        """Take a PUBLISH as it came, its fields from `start` to `end`, if it is a plain one, and return where
        its payload begins; else 0.

        Plain: not retained, no duplicate, no properties; its topic was seen before.
        """
        body = start + 2 + (data[start] << 8 | data[start + 1])
        plain = self._plain.get(bytes((first,)) + data[start + 2 : body])
        if plain is None:
            return 0
        packet_id = 0
        if plain.qos:
            body += 2
            if body > end:
                return 0
            packet_id = data[body - 2] << 8 | data[body - 1]
            if plain.qos == 2 and self._has_come(packet_id):
                return 0
        if self._connection.version >= packets.V5:
            if body >= end or data[body]:
                return 0
            body += 1
        if body > end or (plain.qos and not packet_id):
            return 0
        if plain is not self._run_plain or len(self._run) >= RUN_MAX:
            self.flush()
            target = self._targets.get(plain.topic)
            if target is None or not target.is_valid:
                return 0
            self._run_plain, self._run_target, self._run = plain, target, []
            if plain.qos == 2:
                self._run_ids = {}
        assert self._run_target is not None
        now_ms = self._core.changes.now_ms
        self._run.append(
            Message(
                self._run_target.address,
                plain.properties,
                data[body:end],
                now_ms,
                NO_EXPIRATION,
                plain.qos > 0,
            )
        )
        self._run_bytes += end - body
        if plain.qos:
            self._answers.append((ANSWERS[plain.qos], packet_id))
            if plain.qos == 2:
                self._run_ids[packet_id] = None
        return body

    def take_alike(self, data: bytes, start: int, body: int, end: int) -> int:
        """Take packets that follow one of QoS 0 or 1 and differ from it in nothing but their identifier and
        what the payload is, not how long; return how many.

        `take` has just taken that one, from `start` to `end`, with its payload from `body` on.
        """
        plain, target, run = self._run_plain, self._run_target, self._run
        assert plain is not None
        assert target is not None
        size, skip = end - start, body - start
        payloads = []
        # The last place at which a whole one may begin.
        last = min(len(data) - size, start + size * (RUN_MAX - len(run)))
        if not plain.qos:
            head = data[start:body]
            while end <= last and data.startswith(head, end):
                payloads.append(data[end + skip : end + size])
                end += size
        else:
            # Version 5 says how long the properties are, behind the identifier: there are none.
            behind = 2 + (self._connection.version >= packets.V5)
            head, none = data[start : body - behind], data[body - behind + 2 : body]
            answers = self._answers
            while end <= last and data.startswith(head, end):
                at = end + skip - behind
                packet_id = data[at] << 8 | data[at + 1]
                if not packet_id or not data.startswith(none, at + 2):
                    break
                answers.append((PUBACK, packet_id))
                payloads.append(data[end + skip : end + size])
                end += size
        if payloads:
            address, properties, now_ms = target.address, plain.properties, self._core.changes.now_ms
            persistent = plain.qos > 0
            run += [
                Message(address, properties, payload, now_ms, NO_EXPIRATION, persistent)
                for payload in payloads
            ]
            self._run_bytes += len(payloads) * (size - skip)
        return len(payloads)

    def _has_come(self, packet_id: int) -> bool:
        """Is this message of QoS 2 one that was taken before?"""
        state = self._connection.state
        assert state is not None
        return packet_id in state.received or packet_id in self._run_ids

    def flush(self) -> None:
        """Hand over what was taken. Raises WireError if it is refused, and the version cannot say so."""
        run, target, plain = self._run, self._run_target, self._run_plain
        self._run_plain = None
        if not run:
            return
        assert target is not None
        assert plain is not None
        run_bytes, self._run, self._run_bytes = self._run_bytes, NO_LIST, 0
        run_ids, self._run_ids = self._run_ids, NO_DICT
        core, connection = self._core, self._connection
        try:
            kept, refused = target.publish_all(
                core,
                run,
                run_bytes,
                persistent=plain.qos > 0,
                expiring=False,
                prioritized=False,
                message_bytes=MESSAGE_BYTES + len(plain.properties),
            )
        except BrokerError as error:
            raise WireError(reason_of(error), error.text) from None
        connection.outbound.counters.publish += len(run)
        traffic = connection.head.traffic
        traffic.publishes_in += len(run)
        traffic.payload_in += run_bytes
        if core.held:
            connection.published = True
        if plain.qos == 2:
            state = connection.state
            assert state is not None
            for position, packet_id in enumerate(run_ids):
                if position not in refused:
                    state.add_received(packet_id)
            kept = kept or core.changes.has_facts
        if plain.qos:
            assert self.publisher is not None
            core.confirms.accept(self.publisher, len(run), kept, refused)

    # --- one at a time -------------------------------------------------------------------------------

    def publish(self, publish: Publish) -> None:
        """Take one message, whatever it needs: the slow path, and the meaning of `take`.

        Raises WireError for what ends the connection.
        """
        topic = self._topic(publish)
        if publish.qos and self._answers is NO_LIST:
            self._answers = deque()
        connection = self._connection
        state = connection.state
        assert state is not None
        if publish.qos == 2 and publish.packet_id in state.received:
            connection.answer_when_durable(PUBREC, publish.packet_id)
            return
        if topic != publish.topic:
            publish = msgspec.structs.replace(publish, topic=topic)
        try:
            kept, refused = self._accept(publish)
        except BrokerError as error:
            self._refuse(publish, error)
            return
        connection.outbound.counters.publish += 1
        traffic = connection.head.traffic
        traffic.publishes_in += 1
        traffic.payload_in += len(publish.payload)
        if self._core.held:
            connection.published = True
        if publish.qos:
            if publish.qos == 2 and not refused:
                state.add_received(publish.packet_id)
                kept = kept or self._core.changes.has_facts
            self._answers.append((ANSWERS[publish.qos], publish.packet_id))
            assert self.publisher is not None
            self._core.confirms.accept(self.publisher, 1, kept, refused)

    def _accept(self, publish: Publish) -> tuple[bool, Sequence[int]]:
        """Put a message into its queues; return whether that has to become durable, and which was refused
        (see `Core.publish`). Raises BrokerError."""
        connection = self._connection
        session, state = connection.session, connection.state
        assert session is not None
        assert state is not None
        target = self._targets.get(publish.topic)
        if target is None or not target.is_valid:
            target = self._resolve(session, publish.topic)
        sender = state.client_id if state.keeps_out_own else ""
        message = message_of(publish, target, self._core.changes.now_ms, sender)
        if target.route.per_message:
            target = looked_at(session, target, message)
        kept, refused = target.publish(self._core, message)
        if publish.retain:
            retain(connection.head, session, publish, message)
            kept = kept or self._core.changes.has_facts
        elif not sender:
            self._remember(publish, message)
        return kept, refused

    def _resolve(self, session: Session, topic: str) -> Target:
        target = target_of(session, topic)
        session.forget_routes = self.forget_routes
        if len(self._targets) >= TARGETS_MAX or self._targets is NO_DICT:
            self._targets = {}
        self._targets[topic] = target
        return target

    def _remember(self, publish: Publish, message: Message) -> None:
        """Have the next message like this one taken by `take`."""
        if publish.properties or publish.duplicate:
            return
        if len(self._plain) >= TARGETS_MAX or self._plain is NO_DICT:
            self._plain = {}
        first = PUBLISH << 4 | publish.qos << 1
        self._plain[bytes((first,)) + publish.topic.encode()] = Plain(
            publish.topic, publish.qos, message.properties
        )

    def close(self) -> None:
        """The socket is gone: nothing more is published, and nobody hears what becomes of the rest."""
        if self.publisher is not None:
            self.publisher = None
            self._targets = NO_DICT
            del self._connection

    def forget_routes(self) -> None:
        """The client's permissions have changed, or what it does not want of its own messages."""
        self._targets.clear()
        self._plain.clear()

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
            if self._aliases is NO_DICT:
                self._aliases = {}
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
        self._answer(ANSWERS[publish.qos], publish.packet_id, reason, error.text)

    def _answer(self, kind: int, packet_id: int, reason: ReasonCode, text: str) -> None:
        """Say to a client of version 5 what is wrong."""
        write = partial(packets.answer, kind, packet_id, packets.V5, reason)
        if self._connection.wants_reasons:
            self._connection.send_reason(write, text)
        else:
            self._connection.send(write())

    def released(self, packet_id: int) -> None:
        """PUBREL: a message of QoS 2 will not come again."""
        connection = self._connection
        state = connection.state
        assert state is not None
        if packet_id not in state.received:
            reason = ReasonCode.PACKET_IDENTIFIER_NOT_FOUND
            connection.send(packets.answer(PUBCOMP, packet_id, connection.version, reason))
            return
        state.drop_received(packet_id)
        connection.answer_when_durable(PUBCOMP, packet_id)

    # --- what the publisher says: see `sink.Waiting` -----------------------------------------------------

    def confirm(self, tag_first: int, tag_last: int) -> None:
        """These messages are safe."""
        if self.publisher is None:
            return
        answers, version = self._answers, self._connection.version
        if self._connection.want_close and version >= packets.V5:
            # It was told DISCONNECT, and nothing comes after that ([MQTT-3.14.4-1]).
            return
        written = [
            packets.answer(kind, packet_id, version)
            for kind, packet_id in [answers.popleft() for _ in range(tag_first, tag_last + 1)]
        ]
        self._connection.send(b"".join(written), len(written))

    def refuse(self, tag_first: int, tag_last: int) -> None:
        """A queue was full when they came."""
        if self.publisher is None:
            return
        reason, text = ReasonCode.QUOTA_EXCEEDED, "a queue is full"
        answers = [self._answers.popleft() for _ in range(tag_first, tag_last + 1)]
        if self._connection.version < packets.V5:
            self._connection.refuse(reason, text)
            return
        for kind, packet_id in answers:
            self._answer(kind, packet_id, reason, text)

    def disconnect(self, reason: Reason, text: str) -> None:
        """What waits can never be safe."""
        if self.publisher is not None:
            self._connection.refuse(ReasonCode.UNSPECIFIED, text)
