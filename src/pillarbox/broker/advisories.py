"""Advisories: what happens in the broker, as ActiveMQ tells it on topics of its own (A38).

Whoever subscribes to `ActiveMQ.Advisory.Connection`, `.Queue`, `.Topic`, `.TempQueue`, `.TempTopic`,
`.Consumer.Queue.X`, `.Consumer.Topic.X`, `.Expired.Queue.X` or `.MessageDLQd.Queue.X` hears of it. An
advisory is a transient message whose body is the JSON of what ActiveMQ calls a data structure. A new
subscription is told first what there is: connections, destinations, consumers.

All of them are routed by an exchange of their own, so that who asks for all topics of another protocol does
not get them, and nobody pays: without a binding there nothing is looked at. While there is one, a `Watch`
knows what has been told. It hears of the same events as `amq.rabbitmq.event` (see `events`).

Not here: who subscribes (a head, which calls `provide` and `tell_all_to`). Source: ActiveMQ 5.17.2 asked with
`tests/compare_messaging/scenarios/advisories_on_activemq.py`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from weakref import WeakKeyDictionary

import msgspec

from pillarbox.broker.arguments import EXCLUSIVE, SELECTOR
from pillarbox.broker.deadletter import EXPIRED
from pillarbox.broker.dialects import Neutral
from pillarbox.broker.exchange import TOPICS, Exchange
from pillarbox.broker.jms_destinations import (
    ADVISORIES,
    consumer_count,
    destinations_of,
    is_queue,
    kind_of,
    kind_of_topic,
    matcher,
    name_of,
)
from pillarbox.engine.base import NO_EXPIRATION, Address, Message

if TYPE_CHECKING:
    from pillarbox.broker.client import Client
    from pillarbox.broker.consumer import Consumer
    from pillarbox.broker.core import Core
    from pillarbox.broker.exchange import Binding
    from pillarbox.broker.queue import Queue
    from pillarbox.broker.session import Session
    from pillarbox.broker.vhost import VHost

EXCHANGE: Final = ADVISORIES
PREFIX: Final = "ActiveMQ.Advisory."
DEAD_LETTERS: Final = "ActiveMQ.DLQ"
"""ActiveMQ's queue for everything that nobody could cope with."""

BROKER: Final = "localhost"
"""What ActiveMQ calls a broker whose operator has not named it."""

TOPICS_MAX: Final = 10_000
"""Names of topics of which a watch knows that they were told; beyond it all are told again."""
ADDRESSES_MAX: Final = 1024
"""Addresses that are kept, one for each advisory topic."""

ADDED, REMOVED = 0, 1
"""ActiveMQ's numbers for what has become of a destination."""
NOTHING_DELIVERED: Final = -2
"""ActiveMQ's word for the last message of a consumer or connection that nobody asks about."""

Structure = dict[str, Any]


class Watch:
    """What those who listen in one virtual host have been told of."""

    def __init__(self) -> None:
        self.queues: dict[Queue, None] = {}
        self.fresh: list[Queue] = []
        """New ones of which it is not known yet whether a subscription to a topic has them."""
        self.topics: dict[str, Session | None] = {}
        """With the session that a temporary one belongs to."""
        self.consumers: dict[Consumer, int] = {}
        """With their numbers."""
        self.consumer_number = 0


class Advisories:
    """The advisories of one broker; see the module."""

    def __init__(self, core: Core) -> None:
        self.core = core
        self._watches: dict[VHost, Watch] = {}
        self._ids: WeakKeyDictionary[Any, str] = WeakKeyDictionary()
        self._id_count = 0
        self._begun_ms = core.changes.now_ms
        self._listens = False
        self._addresses: dict[str, Address] = {}

    def __repr__(self) -> str:
        return f"<Advisories vhosts={len(self._watches)}>"

    # --- who listens -------------------------------------------------------------------------------

    def provide(self, vhost: VHost) -> None:
        """See that there is the exchange to which subscriptions are bound."""
        vhost.provide_exchange(EXCHANGE)
        self._listen()

    def restored(self) -> None:
        """Listen again after a restart, if anybody did before it whose subscription has lasted."""
        if any(EXCHANGE in vhost.exchanges for vhost in self.core.vhosts.values()):
            self._listen()
            for vhost in self.core.vhosts.values():
                self._watch(vhost)

    def _listen(self) -> None:
        """Hear of events from now on."""
        if self._listens:
            return
        self._listens = True
        for name, hear in (
            ("connection.created", self._connected),
            ("connection.closed", self._disconnected),
            ("queue.created", self._queue_created),
            ("queue.deleted", self._queue_deleted),
            ("binding.created", self._bound),
            ("topic.used", self._topic_used),
            ("consumer.created", self._consumer_created),
            ("consumer.deleted", self._consumer_deleted),
            ("message.died", self._died),
        ):
            self.core.events.read(name, hear)

    def is_heard(self, vhost: VHost) -> bool:
        """Does anybody listen there, as far as that was looked at?"""
        return vhost in self._watches

    def _watch(self, vhost: VHost | None) -> Watch | None:
        """The watch of a virtual host; None: nobody listens there."""
        exchange = None if vhost is None else vhost.exchanges.get(EXCHANGE)
        if vhost is None or exchange is None or not exchange.bindings:
            self._watches.pop(vhost, None)  # type: ignore[arg-type]
            return None
        watch = self._watches.get(vhost)
        if watch is None:
            watch = self._watches[vhost] = _watch_of(vhost)
        return watch

    def tell_all_to(self, vhost: VHost, queue: Queue, name: str) -> None:
        """Tell a new subscription what there is. `name`: what it is to, with ActiveMQ's wildcards.

        As with ActiveMQ, who asks for several kinds at once hears of what happens only.
        """
        watch = self._watch(vhost)
        if watch is None:
            return
        self._settle_fresh(vhost, watch)
        to = (queue,)
        if name == f"{PREFIX}Connection":
            for session in list(self.core.sessions):
                if session.vhost is vhost and session.head is not None:
                    self._tell(vhost, "Connection", self._connection(session), to=to)
        kind = name.removeprefix(PREFIX)
        if kind in ("Queue", "TempQueue"):
            for one in list(watch.queues):
                if kind_of(one) == kind:
                    self._tell(vhost, kind, self._queue(one, ADDED), to=to)
        if kind in ("Topic", "TempTopic"):
            for topic, owner in list(watch.topics.items()):
                if kind_of_topic(owner) == kind:
                    self._tell(vhost, kind, self._topic(topic, owner, ADDED), to=to)
        if kind.startswith("Consumer."):
            wanted = matcher(kind)
            for consumer, number in list(watch.consumers.items()):
                for where, topic in destinations_of(vhost, consumer.queue):
                    if wanted(f"Consumer.{where}.{topic}"):
                        self._tell_consumer(vhost, where, topic, self._consumer(consumer, number, topic), to)

    # --- what happens ------------------------------------------------------------------------------

    def _connected(self, session: Session) -> None:
        if self._watch(session.vhost) is not None:
            self._tell(session.vhost, "Connection", self._connection(session))

    def _disconnected(self, client: Client) -> None:
        vhost = getattr(getattr(client, "session", None), "vhost", None)
        watch = self._watch(vhost)
        if watch is None or vhost is None:
            return
        for topic, owner in list(watch.topics.items()):
            if owner is not None and owner.head is client:
                del watch.topics[topic]
                self._tell(vhost, "TempTopic", self._topic(topic, owner, REMOVED))
        gone = {"@class": "ConnectionId", "value": self._id(client)}
        self._tell(vhost, "Connection", _removal(gone))

    def _queue_created(self, name: str, queue: Queue) -> None:
        vhost = self.core.vhosts.get(name)
        watch = self._watch(vhost)
        if watch is None or vhost is None or queue in watch.queues:
            return
        # What it is shows when everything is done that makes it: it may be bound to a topic.
        if not watch.fresh:
            self.core.chores.in_turn(lambda: self._settle_fresh(vhost, watch))
        watch.fresh.append(queue)

    def _settle_fresh(self, vhost: VHost, watch: Watch) -> None:
        fresh, watch.fresh = watch.fresh, []
        for queue in fresh:
            if not queue.deleted and is_queue(vhost, queue):
                watch.queues[queue] = None
                self._tell(vhost, kind_of(queue), self._queue(queue, ADDED))

    def _queue_deleted(self, name: str, queue: Queue) -> None:
        vhost = self.core.vhosts.get(name)
        watch = self._watch(vhost)
        if watch is None or vhost is None:
            return
        if queue in watch.fresh:
            watch.fresh.remove(queue)
        if queue in watch.queues:
            del watch.queues[queue]
            self._tell(vhost, kind_of(queue), self._queue(queue, REMOVED))

    def _bound(self, name: str, binding: Binding) -> None:
        if binding.source.name == TOPICS and not isinstance(binding.destination, Exchange):
            self._topic_used(self.core.vhosts.get(name), binding.key, None)

    def _topic_used(self, vhost: VHost | None, key: str, owner: Session | None) -> None:
        """Somebody sends to a topic or subscribes to it. `owner`: it is temporary, and of this session."""
        watch = self._watch(vhost)
        topic = name_of(key)
        if watch is None or vhost is None or topic in watch.topics:
            return
        self._settle_fresh(vhost, watch)
        if len(watch.topics) >= TOPICS_MAX:
            watch.topics = {name: one for name, one in watch.topics.items() if one is not None}
        watch.topics[topic] = owner
        self._tell(vhost, kind_of_topic(owner), self._topic(topic, owner, ADDED))

    def _consumer_created(self, name: str, consumer: Consumer) -> None:
        vhost = self.core.vhosts.get(name)
        watch = self._watch(vhost)
        if watch is None or vhost is None:
            return
        self._settle_fresh(vhost, watch)
        if consumer not in watch.consumers:
            watch.consumer_number += 1
            watch.consumers[consumer] = watch.consumer_number
        number = watch.consumers[consumer]
        for where, topic in destinations_of(vhost, consumer.queue):
            self._tell_consumer(vhost, where, topic, self._consumer(consumer, number, topic))

    def _consumer_deleted(self, name: str, consumer: Consumer) -> None:
        vhost = self.core.vhosts.get(name)
        watch = self._watch(vhost)
        if watch is None or vhost is None:
            return
        gone = _removal(
            {"@class": "ConsumerId"} | self._consumer_id(consumer, watch.consumers.pop(consumer, 0))
        )
        for where, topic in destinations_of(vhost, consumer.queue):
            self._tell_consumer(vhost, where, topic, gone)

    def _died(self, vhost: VHost, queue: Queue, reason: str, messages: list[Message]) -> None:
        if self._watch(vhost) is None or not is_queue(vhost, queue):
            return
        for kind in ("MessageDLQd", "Expired") if reason == EXPIRED else ("MessageDLQd",):
            topic = f"{kind}.Queue.{queue.name}"
            if not self._listeners(vhost, topic):
                continue
            for message in messages:
                said = self.core.dialects.said(message)
                known = {"orignalMessageId": said.message_id} if kind == "Expired" and said.message_id else {}
                self._tell(vhost, topic, _message(queue, message, said), known)

    # --- what is told ------------------------------------------------------------------------------

    def _listeners(self, vhost: VHost, topic: str) -> tuple[Queue, ...]:
        return vhost.exchanges[EXCHANGE].resolve((PREFIX + topic,)).queues

    def _tell_consumer(
        self, vhost: VHost, where: str, topic: str, said: Structure, to: tuple[Queue, ...] = ()
    ) -> None:
        count = {"consumerCount": consumer_count(vhost, where, topic)}
        self._tell(vhost, f"Consumer.{where}.{topic}", said, count, to=to)

    def _tell(
        self,
        vhost: VHost,
        topic: str,
        structure: Structure,
        headers: dict[str, Any] | None = None,
        *,
        to: tuple[Queue, ...] = (),
    ) -> None:
        """Send an advisory to those who listen, or `to` some."""
        queues = to or self._listeners(vhost, topic)
        if not queues:
            return
        core = self.core
        origin = core.dialects.common
        assert origin is not None, "advisories are told by a broker that has a protocol"
        dialect = core.dialects.of(origin)
        assert dialect is not None, "the common dialect is always there"
        said = Neutral(
            headers={
                **(headers or {}),
                "originBrokerId": self.broker_id,
                "originBrokerName": BROKER,
                "originBrokerURL": f"vm://{BROKER}",
                "transformation": "jms-advisory-json",
                "x-jms-body": "advisory",
            },
            type="Advisory",
            priority=0,
        )
        key = PREFIX + topic
        address = self._addresses.get(key)
        if address is None:
            if len(self._addresses) >= ADDRESSES_MAX:
                self._addresses.clear()
            address = self._addresses[key] = Address(origin, EXCHANGE, key)
        body = msgspec.json.encode(structure)
        plain = Message(address, b"", body, core.changes.now_ms)
        message = msgspec.structs.replace(plain, properties=dialect.write(said, plain))
        core.publish(queues, [message], len(body), persistent=False, expiring=False, prioritized=False)

    @property
    def broker_id(self) -> str:
        """The broker, as ActiveMQ names one."""
        return f"ID:{BROKER}-{self._begun_ms}-0:1"

    def names_of(self, consumer: Consumer) -> tuple[str, str]:
        """A consumer's client and connection, as ActiveMQ names them."""
        session = getattr(consumer.sink, "session", None)
        own = self._id(getattr(session, "head", None) or consumer.sink)
        return (own if session is None else self._client_id(session) or own), own

    def _client_id(self, session: Session) -> str:
        return session.topic_variables.get("client_id") or ""

    def _id(self, thing: object) -> str:
        """A connection, as ActiveMQ names one: the same in all advisories of it."""
        if thing not in self._ids:
            self._id_count += 1
            self._ids[thing] = f"ID:{BROKER}-{self._begun_ms}-1:{self._id_count}"
        return self._ids[thing]

    def _connection(self, session: Session) -> Structure:
        assert session.head is not None, "who is introduced has a head"
        own, facts = self._id(session.head), session.head.client_facts()
        return {
            "ConnectionInfo": {
                **_command(answered=True),
                "connectionId": {"value": own},
                "clientId": self._client_id(session) or own,
                "clientIp": f"tcp://{facts.peer_host}:{facts.peer_port}",
                "userName": session.user.name,
                "password": "",
                "brokerMasterConnector": False,
                "manageable": False,
                "clientMaster": True,
                "faultTolerant": False,
                "failoverReconnect": False,
            }
        }

    def _of_session(self, session: Any) -> Structure:
        head = getattr(session, "head", None)
        return {} if head is None else {"connectionId": {"value": self._id(head)}}

    def _queue(self, queue: Queue, operation: int) -> Structure:
        destination = _destination(f"ActiveMQ{kind_of(queue)}", queue.name)
        return _destination_info(self._of_session(queue.owner), destination, operation)

    def _topic(self, topic: str, owner: Session | None, operation: int) -> Structure:
        destination = _destination(f"ActiveMQ{kind_of_topic(owner)}", topic)
        return _destination_info(self._of_session(owner), destination, operation)

    def _consumer_id(self, consumer: Consumer, number: int) -> Structure:
        session = getattr(consumer.sink, "session", None)
        head = getattr(session, "head", None)
        return {"connectionId": self._id(head or consumer.sink), "sessionId": -1, "value": number}

    def _consumer(self, consumer: Consumer, number: int, topic: str) -> Structure:
        queue = consumer.queue
        is_topic = topic != queue.name
        kind = "ActiveMQTopic" if is_topic else f"ActiveMQ{kind_of(queue)}"
        selector = consumer.arguments.get(SELECTOR)
        wanted = {"selector": f"convert_string_expressions:{selector}"} if selector else {}
        return {
            "ConsumerInfo": {
                **_command(answered=True),
                "consumerId": self._consumer_id(consumer, number),
                "destination": _destination(kind, topic),
                "prefetchSize": consumer.prefetch,
                "maximumPendingMessageLimit": 0,
                "browser": False,
                "dispatchAsync": True,
                **wanted,
                **({"subscriptionName": queue.name} if is_topic and queue.durable else {}),
                "noLocal": False,
                "exclusive": bool(consumer.arguments.get(EXCLUSIVE)),
                "retroactive": False,
                "priority": consumer.priority,
                "optimizedAcknowledge": False,
                "noRangeAcks": False,
            }
        }


# --- data structures -----------------------------------------------------------------------------------


def _command(*, answered: bool) -> Structure:
    return {"commandId": 0, "responseRequired": answered}


def _destination(kind: str, name: str) -> Structure:
    """As ActiveMQ's JSON has a destination: a text, and nothing where its options would be."""
    if name == DEAD_LETTERS:
        return {"@class": kind, "string": name, "map": [{"entry": {"string": ["isDLQ", True]}}]}
    return {"@class": kind, "string": name, "null": ""}


def _destination_info(of: Structure, destination: Structure, operation: int) -> Structure:
    told = {**of, "destination": destination, "operationType": operation, "timeout": 0}
    return {"DestinationInfo": {**_command(answered=False), **told}}


def _removal(of: Structure) -> Structure:
    told = {"objectId": of, "lastDeliveredSequenceId": NOTHING_DELIVERED}
    return {"RemoveInfo": {**_command(answered=True), **told}}


def _message(queue: Queue, message: Message, said: Neutral) -> Structure:
    """A message without its body, as ActiveMQ's default has it."""
    expires = message.accepted_ms + message.expiration_ms if message.expiration_ms != NO_EXPIRATION else 0
    told = {
        **_command(answered=False),
        **({"messageId": {"textView": said.message_id}} if said.message_id else {}),
        "destination": _destination(f"ActiveMQ{kind_of(queue)}", queue.name),
        "expiration": expires,
        "timestamp": message.accepted_ms,
        "arrival": 0,
        "brokerInTime": message.accepted_ms,
        "brokerOutTime": 0,
        **({"correlationId": said.correlation_id} if isinstance(said.correlation_id, str) else {}),
        "persistent": message.persistent,
        **({"type": said.type} if said.type else {}),
        "priority": 4 if said.priority is None else said.priority,
        "groupSequence": 0,
        "compressed": False,
        "redeliveryCounter": 0,
        "size": len(message.body) + len(message.properties),
        "readOnlyProperties": True,
        "readOnlyBody": False,
        "droppable": False,
        "jmsXGroupFirstForConsumer": False,
    }
    return {"ActiveMQTextMessage": told}


def may_be_told(name: str) -> bool:
    """Could a subscription to this topic, with ActiveMQ's wildcards, hear of anything here?"""
    words, first = name.split("."), PREFIX.rstrip(".").split(".")
    for word, own in zip(words, first, strict=False):
        if word == ">":
            return True
        if word not in ("*", own):
            return False
    return len(words) > len(first)


def _watch_of(vhost: VHost) -> Watch:
    """What there is when somebody begins to listen."""
    watch = Watch()
    for queue in vhost.queues.values():
        if is_queue(vhost, queue):
            watch.queues[queue] = None
        for consumer in (*queue.consumers, *queue.standby):
            watch.consumer_number += 1
            watch.consumers[consumer] = watch.consumer_number
    for binding in vhost.exchanges[TOPICS].bindings.values():
        if not isinstance(binding.destination, Exchange):
            watch.topics[name_of(binding.key)] = None
    return watch
