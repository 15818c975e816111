"""Advisories: what happens in the broker, as ActiveMQ tells it on topics of its own (A38).

Whoever subscribes to `ActiveMQ.Advisory.Connection`, `.Queue`, `.Topic`, `.TempQueue`, `.TempTopic`,
`.Consumer.Queue.X`, `.Consumer.Topic.X`, `.Expired.Queue.X` or `.MessageDLQd.Queue.X` hears of it. An
advisory is a transient message about what ActiveMQ calls a data structure. A new subscription is told first
what there is: connections, destinations, consumers. Others are told if an operator wants them (`choose`).

All of them are routed by an exchange of their own, so that who asks for all topics of another protocol does
not get them, and nobody pays: without a binding there nothing is looked at. While there is one, a `Watch`
knows what has been told. It hears of the same events as `amq.rabbitmq.event` (see `events`).

Not here: who subscribes (a head, which calls `provide` and `tell_all_to`), and what advisories look like
(another part of it, which `find_forms` finds also where no client of it has come since the start). Source:
ActiveMQ 5.17.2 asked with `tests/compare_messaging/scenarios/advisories_on_activemq.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, Protocol
from weakref import WeakKeyDictionary

import msgspec

from pillarbox.broker.deadletter import EXPIRED, MAXLEN
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
from pillarbox.broker.schedule_header import SCHEDULED_TOPICS
from pillarbox.broker.slowness import Slowness
from pillarbox.broker.watched_ledger import CONSUMED, DISPATCHED, WatchedLedger
from pillarbox.engine.base import Address, Message

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from pillarbox.broker.chores import Parts
    from pillarbox.broker.client import Client
    from pillarbox.broker.consumer import Consumer
    from pillarbox.broker.core import Core
    from pillarbox.broker.dialects import Neutral
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

OF_TOPICS: Final = (TOPICS, SCHEDULED_TOPICS)
"""Exchanges by which messages come to topics."""

TOPICS_MAX: Final = 10_000
"""Names of topics of which a watch knows that they were told; beyond it all are told again."""
ADDRESSES_MAX: Final = 1024
"""Addresses that are kept, one for each advisory topic."""

LOOK_MS: Final = 1000
"""How often it is looked who is slow."""
LOOKED_AT_ONCE: Final = 1000
"""Consumers in one part: a millisecond."""

SCHEMES: Final = {"Queue": "queue", "TempQueue": "temp-queue", "Topic": "topic", "TempTopic": "temp-topic"}
NO_HEADERS: Final[Mapping[str, Any]] = {}


class Forms(Protocol):
    """What advisories look like."""

    def write(self, who: Advisories, form: str, about: tuple[Any, ...]) -> bytes:
        """The body of one of this form, about these things."""

    def said(self, who: Advisories, headers: Mapping[str, Any]) -> Neutral:
        """What is said of it beside."""


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
        self.discarded: dict[Queue, int] = {}
        """Messages that subscriptions to topics have lost to newer ones."""
        self.slowness = Slowness()


class Advisories:
    """The advisories of one broker; see the module."""

    def __init__(self, core: Core) -> None:
        self.core = core
        self._watches: dict[VHost, Watch] = {}
        self._ids: WeakKeyDictionary[Any, str] = WeakKeyDictionary()
        self._id_count = 0
        self._begun_ms = core.changes.now_ms
        self._listens = False
        self._addresses: dict[tuple[str, str], Address] = {}
        self.find_forms: Callable[[], Forms | None] = lambda: None
        """Asked once, when something is told for the first time."""
        self._deliveries: list[tuple[str, Queue, list[Message]]] = []
        """Messages that were handed out or consumed, and what is to be told of them."""
        self.chosen: frozenset[str] = frozenset()
        """Those that are told because an operator wants them."""
        self._refusing: dict[Queue, None] = {}
        """Queues that have refused messages, which is to be told."""
        self._slow_after_ms = 0
        self._looks = False
        """It is looked now and then who is slow."""

    def __repr__(self) -> str:
        return f"<Advisories vhosts={len(self._watches)}>"

    @cached_property
    def forms(self) -> Forms | None:
        """What advisories look like; None: nobody knows."""
        return self.find_forms()

    def choose(self, names: Collection[str], *, slow_after_ms: int) -> None:
        """Tell these as well, of clients that come from now on; a consumer is slow after so long."""
        self.chosen = frozenset(names)
        self._slow_after_ms = slow_after_ms
        if {DISPATCHED, CONSUMED} & self.chosen:
            self.core.make_ledger = lambda: WatchedLedger(self._delivered)

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
                if self._watch(vhost) is not None:
                    # A broker by itself is the master when it has started.
                    self._tell(vhost, "MasterBroker", "nothing")

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
            ("message.arrived", self._arrived),
            ("destination.full", self._full),
            ("queue.full", self._refused),
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
            if "SlowConsumer" in self.chosen and not self._looks:
                self._looks = True
                self._look_again()
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
                    self._tell(vhost, "Connection", "connection", session, to=to)
        kind = name.removeprefix(PREFIX)
        if kind in ("Queue", "TempQueue"):
            for one in list(watch.queues):
                if kind_of(one) == kind:
                    self._tell(vhost, kind, "queue", one, to=to)
        if kind in ("Topic", "TempTopic"):
            for topic, owner in list(watch.topics.items()):
                if kind_of_topic(owner) == kind:
                    self._tell(vhost, kind, "topic", topic, owner, to=to)
        if kind.startswith("Consumer."):
            wanted = matcher(kind)
            for consumer, number in list(watch.consumers.items()):
                for where, topic in destinations_of(vhost, consumer.queue):
                    if wanted(f"Consumer.{where}.{topic}"):
                        self._tell_consumer(vhost, where, topic, "consumer", consumer, number, topic, to=to)

    # --- what happens ------------------------------------------------------------------------------

    def _connected(self, session: Session) -> None:
        if self._watch(session.vhost) is not None:
            self._tell(session.vhost, "Connection", "connection", session)

    def _disconnected(self, client: Client) -> None:
        vhost = getattr(getattr(client, "session", None), "vhost", None)
        watch = self._watch(vhost)
        if watch is None or vhost is None:
            return
        for topic, owner in list(watch.topics.items()):
            if owner is not None and owner.head is client:
                del watch.topics[topic]
                self._tell(vhost, "TempTopic", "topic gone", topic, owner)
        self._tell(vhost, "Connection", "connection gone", client)

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
                self._tell(vhost, kind_of(queue), "queue", queue)

    def _queue_deleted(self, name: str, queue: Queue) -> None:
        vhost = self.core.vhosts.get(name)
        watch = self._watch(vhost)
        if watch is None or vhost is None:
            return
        if queue in watch.fresh:
            watch.fresh.remove(queue)
        watch.discarded.pop(queue, None)
        if queue in watch.queues:
            del watch.queues[queue]
            self._tell(vhost, kind_of(queue), "queue gone", queue)

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
        self._tell(vhost, kind_of_topic(owner), "topic", topic, owner)

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
            self._tell_consumer(vhost, where, topic, "consumer", consumer, number, topic)

    def _consumer_deleted(self, name: str, consumer: Consumer) -> None:
        vhost = self.core.vhosts.get(name)
        watch = self._watch(vhost)
        if watch is None or vhost is None:
            return
        number = watch.consumers.pop(consumer, 0)
        watch.slowness.forget(consumer)
        for where, topic in destinations_of(vhost, consumer.queue):
            self._tell_consumer(vhost, where, topic, "consumer gone", consumer, number)

    def _died(
        self, vhost: VHost, queue: Queue, reason: str, messages: list[Message], letters: list[Message]
    ) -> None:
        """Messages have died, and these of them become dead letters."""
        watch = self._watch(vhost)
        if watch is None:
            return
        of_queue = is_queue(vhost, queue)
        if not (of_queue or queue.durable):
            if reason == MAXLEN:
                self._discarded(vhost, watch, queue, messages)
            return
        for kind, some in (("MessageDLQd", letters), ("Expired", messages if reason == EXPIRED else [])):
            for message in some:
                if of_queue:
                    self._tell_death(vhost, kind, "Queue", kind_of(queue), queue.name, message)
                elif message.address.exchange in OF_TOPICS:
                    topic = name_of(message.address.routing_key)
                    where = kind_of_topic(watch.topics.get(topic))
                    self._tell_death(vhost, kind, "Topic", where, topic, message)

    def _tell_death(
        self, vhost: VHost, advisory: str, where: str, kind: str, name: str, message: Message
    ) -> None:
        """Tell that a message of this destination has died."""
        topic = f"{advisory}.{where}.{name}"
        if self._listeners(vhost, topic):
            said = self.core.dialects.said(message)
            is_known = advisory == "Expired" and said.message_id
            known = {"orignalMessageId": said.message_id} if is_known else NO_HEADERS
            self._tell(vhost, topic, "message", kind, name, message, said, headers=known)

    def _arrived(self, vhost: VHost, kind: str, name: str, messages: list[Message]) -> None:
        """Messages were sent to a destination, whether anybody gets them or not."""
        if self._watch(vhost) is None:
            return
        where = kind.removeprefix("Temp")
        topic = f"MessageDelivered.{where}.{name}"
        if self._listeners(vhost, topic):
            for message in messages:
                self._tell_message(vhost, topic, kind, name, message)
        if "NoConsumer" in self.chosen and not consumer_count(vhost, where, name):
            self._pass_on(vhost, f"NoConsumer.{where}.{name}", messages)

    def _pass_on(self, vhost: VHost, topic: str, messages: list[Message]) -> None:
        """Let listeners have messages themselves, of those that are not to be kept."""
        queues = self._listeners(vhost, topic)
        for message in messages if queues else ():
            if not message.persistent:
                address = self._address(message.address.origin, PREFIX + topic)
                copy = msgspec.structs.replace(message, address=address)
                size = len(copy.body)
                self.core.publish(queues, [copy], size, persistent=False, expiring=False, prioritized=False)

    def _delivered(self, topic: str, queue: Queue, messages: list[Message]) -> None:
        if not self._watches:
            return
        if not self._deliveries:
            # A message has to be on its way before another tells of it.
            self.core.chores.in_turn(self._tell_deliveries)
        self._deliveries.append((topic, queue, messages))

    def _tell_deliveries(self) -> None:
        deliveries, self._deliveries = self._deliveries, []
        for kind, queue, messages in deliveries:
            for vhost in self._watches:
                if vhost.queues.get(queue.name) is not queue or not is_queue(vhost, queue):
                    continue
                topic = f"{kind}.Queue.{queue.name}"
                if self._listeners(vhost, topic):
                    for message in messages:
                        self._tell_message(vhost, topic, kind_of(queue), queue.name, message)

    def _full(self, vhost: VHost, queue: Queue, size: int, session: Session, _what: str) -> None:
        """A queue has no room for what this client sends."""
        if self._watch(vhost) is None:
            return
        self._tell_full(vhost, queue, size)
        for kind, name in destinations_of(vhost, queue):
            producer = {"producerId": f"{self.id_of(session.head)}:-1:1"}
            self._tell_chosen(vhost, f"FastProducer.{kind}.{name}", "producer", session, headers=producer)

    def _refused(self, queue: Queue) -> None:
        """A queue has refused what a client of any protocol sends, because of its own limits (R47)."""
        if not self._watches or "FULL" not in self.chosen:
            return
        if not self._refusing:
            # Not while something is being published; and once for all that is refused until then.
            self.core.chores.in_turn(self._tell_refusing)
        self._refusing[queue] = None

    def _tell_refusing(self) -> None:
        refusing, self._refusing = self._refusing, {}
        for queue in refusing:
            for vhost in list(self._watches):
                if vhost.queues.get(queue.name) is not queue or self._watch(vhost) is None:
                    continue
                # One that gets advisories would refuse this one as well.
                if not any(binding.source.name == EXCHANGE for binding in vhost.bindings_to(queue)):
                    self._tell_full(vhost, queue, queue.ready_bytes + queue.unacked_bytes)

    def _tell_full(self, vhost: VHost, queue: Queue, size: int) -> None:
        for kind, name in destinations_of(vhost, queue):
            usage = {"usageName": f"Main:memory:{kind.lower()}://{name}:memory", "usageCount": size}
            self._tell_chosen(vhost, f"FULL.{kind}.{name}", "nothing", headers=usage)

    def _look_again(self) -> None:
        self.core.scheduler.at(self.core.changes.now_ms + LOOK_MS, self)
        self.core.wake()

    def on_timer(self, now_ms: int) -> None:
        """Look who is slow by now."""
        self.core.chores.begin(self._look())

    def _look(self) -> Parts:
        now_ms = self.core.changes.now_ms
        for vhost in list(self._watches):
            watch = self._watch(vhost)
            if watch is None:
                continue
            for position, consumer in enumerate(list(watch.consumers), 1):
                is_there = consumer in watch.consumers and not consumer.queue.in_log
                if is_there and watch.slowness.is_news(consumer, now_ms, self._slow_after_ms):
                    self._slow(vhost, watch, consumer)
                if position % LOOKED_AT_ONCE == 0:
                    yield
        self._looks = bool(self._watches)
        if self._looks:
            self._look_again()

    def _slow(self, vhost: VHost, watch: Watch, consumer: Consumer) -> None:
        """A consumer does not keep up."""
        number = watch.consumers.get(consumer, 0)
        for kind, name in destinations_of(vhost, consumer.queue):
            known = {"consumerId": self._consumer_name(consumer, number)}
            self._tell_chosen(
                vhost, f"SlowConsumer.{kind}.{name}", "consumer", consumer, number, name, headers=known
            )

    def _discarded(self, vhost: VHost, watch: Watch, queue: Queue, messages: list[Message]) -> None:
        """Messages have given way to newer ones, of which a subscription to topics may have so many only."""
        consumer = next(iter(queue.consumers), None)
        for message in messages:
            count = watch.discarded[queue] = watch.discarded.get(queue, 0) + 1
            known: dict[str, Any] = {"discardedCount": count}
            if consumer is not None:
                known["consumerId"] = self._consumer_name(consumer, watch.consumers.get(consumer, 0))
            name = name_of(message.address.routing_key)
            self._tell_message(vhost, f"MessageDiscarded.Topic.{name}", "Topic", name, message, known)

    # --- what is told ------------------------------------------------------------------------------

    def _listeners(self, vhost: VHost, topic: str) -> tuple[Queue, ...]:
        return vhost.exchanges[EXCHANGE].resolve((PREFIX + topic,)).queues

    def _tell_consumer(
        self, vhost: VHost, where: str, topic: str, form: str, *about: Any, to: tuple[Queue, ...] = ()
    ) -> None:
        count = {"consumerCount": consumer_count(vhost, where, topic)}
        self._tell(vhost, f"Consumer.{where}.{topic}", form, *about, headers=count, to=to)

    def _tell_message(
        self,
        vhost: VHost,
        topic: str,
        kind: str,
        name: str,
        message: Message,
        headers: Mapping[str, Any] = NO_HEADERS,
    ) -> None:
        """Tell of a message, if an operator wants that. `kind`, `name`: of its destination."""
        said = self.core.dialects.said(message)
        known = {"orignalMessageId": said.message_id} if said.message_id else {}
        known |= {"orignalDestination": f"{SCHEMES[kind]}://{name}", **headers}
        self._tell_chosen(vhost, topic, "message", kind, name, message, said, headers=known)

    def _tell_chosen(
        self, vhost: VHost, topic: str, form: str, *about: Any, headers: Mapping[str, Any]
    ) -> None:
        """Send an advisory that is sent only if an operator wants it."""
        if topic.partition(".")[0] in self.chosen:
            self._tell(vhost, topic, form, *about, headers=headers)

    def _tell(
        self,
        vhost: VHost,
        topic: str,
        form: str,
        *about: Any,
        headers: Mapping[str, Any] = NO_HEADERS,
        to: tuple[Queue, ...] = (),
    ) -> None:
        """Send an advisory, of this form and about these things, to those who listen, or `to` some."""
        queues = to or self._listeners(vhost, topic)
        core, forms = self.core, self.forms
        if not queues or forms is None:
            return
        origin = core.dialects.common
        assert origin is not None, "advisories are told by a broker that has a protocol"
        dialect = core.dialects.of(origin)
        assert dialect is not None, "the common dialect is always there"
        address = self._address(origin, PREFIX + topic)
        body = forms.write(self, form, about)
        plain = Message(address, b"", body, core.changes.now_ms)
        properties = dialect.write(forms.said(self, headers), plain)
        message = msgspec.structs.replace(plain, properties=properties)
        core.publish(queues, [message], len(body), persistent=False, expiring=False, prioritized=False)

    def _address(self, origin: str, key: str) -> Address:
        address = self._addresses.get((origin, key))
        if address is None:
            if len(self._addresses) >= ADDRESSES_MAX:
                self._addresses.clear()
            address = self._addresses[origin, key] = Address(origin, EXCHANGE, key)
        return address

    # --- names -------------------------------------------------------------------------------------

    @property
    def broker_id(self) -> str:
        """The broker, as ActiveMQ names one."""
        return f"ID:{BROKER}-{self._begun_ms}-0:1"

    def names_of(self, consumer: Consumer) -> tuple[str, str]:
        """A consumer's client and connection, as ActiveMQ names them."""
        session = getattr(consumer.sink, "session", None)
        own = self.id_of(getattr(session, "head", None) or consumer.sink)
        return (own if session is None else self.client_id(session) or own), own

    def client_id(self, session: Session) -> str:
        """What a client calls itself; empty: nothing."""
        return session.client_id or ""

    def _consumer_name(self, consumer: Consumer, number: int) -> str:
        return f"{self.names_of(consumer)[1]}:-1:{number}"

    def id_of(self, thing: object) -> str:
        """A connection, as ActiveMQ names one: the same in all advisories of it."""
        if thing not in self._ids:
            self._id_count += 1
            self._ids[thing] = f"ID:{BROKER}-{self._begun_ms}-1:{self._id_count}"
        return self._ids[thing]


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
