"""Notifications: what happens in the broker, as Artemis tells it on `activemq.notifications` (A86).

Whoever subscribes to that topic hears of queues that come and go (`BINDING_ADDED`, `BINDING_REMOVED`), of
consumers (`CONSUMER_CREATED`, `CONSUMER_CLOSED`, `CONSUMER_SLOW`), of connections (`SESSION_CREATED`,
`SESSION_CLOSED`; here a connection has one session) and of logins that were refused
(`SECURITY_AUTHENTICATION_VIOLATION`), whatever protocol those speak. A notification is a persistent message
without a body: `_AMQ_NotifType` says what it is, other headers what it is about. It is a topic like any
other, of one virtual host.

A queue is bound at the address of its own name, a subscription at that of its topic. While nobody listens
nothing is looked at but whether anybody does. Source: Artemis' manual, "Management Notifications"; row A86.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from weakref import WeakKeyDictionary, WeakSet

import msgspec

from pillarbox.broker.arguments import SELECTOR
from pillarbox.broker.dialects import Neutral
from pillarbox.broker.exchange import TOPICS, Exchange
from pillarbox.engine.base import Address, Message

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pillarbox.broker.client import Client
    from pillarbox.broker.consumer import Consumer
    from pillarbox.broker.core import Core
    from pillarbox.broker.exchange import Binding
    from pillarbox.broker.queue import Queue
    from pillarbox.broker.session import Session
    from pillarbox.broker.vhost import VHost

TOPIC: Final = "activemq.notifications"
TYPE, MOMENT = "_AMQ_NotifType", "_AMQ_NotifTimestamp"
LOCAL_QUEUE: Final = 0
"""Artemis' number for a binding that is a queue of this broker."""
NO_CERTIFICATE: Final = "unavailable"

Facts = dict[str, Any]


class Notifications:
    """See the module. `vhost`: where they are told, and of which they tell."""

    def __init__(self, core: Core, vhost: str) -> None:
        self.core = core
        self._vhost = vhost
        self._fresh: list[Queue] = []
        """New queues of which it is not known yet whether they are subscriptions."""
        self._unbound: WeakSet[Queue] = WeakSet()
        """Queues that were subscriptions to topics when that was told last."""
        self._sessions: WeakKeyDictionary[Any, Facts] = WeakKeyDictionary()
        """What was told of connections, which is told again when they go."""
        for name, hear in (
            ("queue.created", self._queue_created),
            ("queue.deleted", self._queue_deleted),
            ("binding.created", self._bound),
            ("binding.deleted", self._unbind),
            ("consumer.created", self._consumer_created),
            ("consumer.deleted", self._consumer_deleted),
            ("consumer.slow", self._consumer_slow),
            ("connection.created", self._connected),
            ("connection.closed", self._disconnected),
            ("user.authentication.failure", self._login_refused),
        ):
            core.events.read(name, hear)

    def __repr__(self) -> str:
        return f"<Notifications vhost={self._vhost!r}>"

    # --- what happens ------------------------------------------------------------------------------

    def _queue_created(self, name: str, queue: Queue) -> None:
        if not self._listeners(name):
            return
        # Whether it is a subscription shows when everything is done that makes it.
        if not self._fresh:
            self.core.chores.in_turn(self._settle_fresh)
        self._fresh.append(queue)

    def _settle_fresh(self) -> None:
        fresh, self._fresh = self._fresh, []
        for queue in fresh:
            if not queue.deleted and not self._topics_of(queue):
                self._tell("BINDING_ADDED", _binding(queue, queue.name) | {"_AMQ_Binding_Type": LOCAL_QUEUE})

    def _queue_deleted(self, name: str, queue: Queue) -> None:
        if not self._listeners(name):
            return
        if queue in self._fresh:
            self._fresh.remove(queue)
        elif queue not in self._unbound:
            self._tell("BINDING_REMOVED", _binding(queue, queue.name))

    def _bound(self, name: str, binding: Binding) -> None:
        queue = binding.destination
        if binding.source.name == TOPICS and not isinstance(queue, Exchange) and self._listeners(name):
            facts = _binding(queue, binding.key)
            self._tell("BINDING_ADDED", facts | {"_AMQ_Binding_Type": LOCAL_QUEUE})

    def _unbind(self, name: str, binding: Binding) -> None:
        queue = binding.destination
        if binding.source.name == TOPICS and not isinstance(queue, Exchange) and self._listeners(name):
            self._unbound.add(queue)
            self._tell("BINDING_REMOVED", _binding(queue, binding.key))

    def _consumer_created(self, name: str, consumer: Consumer) -> None:
        if self._listeners(name):
            facts = self._consumer(consumer)
            facts["_AMQ_ValidatedUser"] = facts.get("_AMQ_User")
            facts["_AMQ_CertSubjectDN"] = _subject_of(_head_of(consumer))
            self._tell_of_consumer("CONSUMER_CREATED", consumer, facts)

    def _consumer_deleted(self, name: str, consumer: Consumer) -> None:
        if self._listeners(name):
            self._tell_of_consumer("CONSUMER_CLOSED", consumer, self._consumer(consumer))

    def _consumer_slow(self, vhost: VHost, consumer: Consumer) -> None:
        if self._listeners(vhost.name):
            self._tell_of_consumer("CONSUMER_SLOW", consumer, self._consumer(consumer))

    def _tell_of_consumer(self, kind: str, consumer: Consumer, facts: Facts) -> None:
        self._settle_fresh()
        queue = consumer.queue
        for address in self._topics_of(queue) or (queue.name,):
            self._tell(kind, _place(queue, address) | facts)

    def _connected(self, session: Session) -> None:
        if session.head is not None and self._listeners(session.vhost.name):
            facts = self._sessions[session.head] = self._session(session)
            self._tell("SESSION_CREATED", facts)

    def _disconnected(self, client: Client) -> None:
        facts = self._sessions.pop(client, None)
        if facts is None:
            session = getattr(client, "session", None)
            if session is None or session.vhost.name != self._vhost:
                return
            facts = self._session(session)
        self._tell("SESSION_CLOSED", facts)

    def _login_refused(self, client: Client, name: str | None, mechanism: str, refused: str) -> None:
        facts = {"_AMQ_User": name, "_AMQ_CertSubjectDN": _subject_of(client)}
        self._tell("SECURITY_AUTHENTICATION_VIOLATION", facts | {"_AMQ_RemoteAddress": _peer_of(client)})

    # --- what is told ------------------------------------------------------------------------------

    @property
    def _host(self) -> VHost | None:
        return self.core.vhosts.get(self._vhost)

    def _listeners(self, vhost: str) -> tuple[Queue, ...]:
        """Who hears of what happens in a virtual host."""
        host = self._host if vhost == self._vhost else None
        return () if host is None else host.exchanges[TOPICS].resolve((TOPIC,)).queues

    def _topics_of(self, queue: Queue) -> list[str]:
        """The topics of a subscription; none: it is a queue."""
        host = self._host
        bindings: Iterator[Binding] = iter(()) if host is None else host.bindings_to(queue)
        return [binding.key for binding in bindings if binding.source.name == TOPICS]

    def _consumer(self, consumer: Consumer) -> Facts:
        head = _head_of(consumer)
        session = getattr(consumer.sink, "session", None)
        return {
            "_AMQ_ConsumerCount": consumer.queue.consumer_count,
            "_AMQ_User": None if session is None else session.user.name,
            "_AMQ_RemoteAddress": _peer_of(head),
            "_AMQ_SessionName": None if head is None else self.core.events.pid(head),
            "_AMQ_Client_ID": _client_id_of(session),
            "_AMQ_ConsumerName": consumer.tag,
            "_AMQ_FilterString": consumer.arguments.get(SELECTOR),
        }

    def _session(self, session: Session) -> Facts:
        head = session.head
        assert head is not None, "who is introduced has a head"
        pid = self.core.events.pid(head)
        return {
            "_AMQ_ConnectionName": pid,
            "_AMQ_SessionName": pid,
            "_AMQ_User": session.user.name,
            "_AMQ_Client_ID": _client_id_of(session),
            "_AMQ_Protocol_Name": head.client_facts().protocol.partition(" ")[0],
            "_AMQ_Address": TOPIC,
            "_AMQ_Distance": 0,
        }

    def _tell(self, kind: str, facts: Facts) -> None:
        queues = self._listeners(self._vhost)
        if not queues:
            return
        core = self.core
        now_ms = core.changes.now_ms
        origin = core.dialects.common
        assert origin is not None, "notifications are told by a broker that has a protocol"
        dialect = core.dialects.of(origin)
        assert dialect is not None, "the common dialect is always there"
        headers = {name: value for name, value in facts.items() if value is not None}
        said = Neutral(
            headers=headers | {TYPE: kind, MOMENT: now_ms},
            long_numbers=True,
            persistent=True,
            timestamp_s=now_ms // 1000,
        )
        plain = Message(Address(origin, TOPICS, TOPIC), b"", b"", now_ms, persistent=True)
        message = msgspec.structs.replace(plain, properties=dialect.write(said, plain))
        core.publish(queues, [message], 0, persistent=True, expiring=False, prioritized=False)


def _place(queue: Queue, address: str) -> Facts:
    return {
        "_AMQ_Address": address,
        "_AMQ_ClusterName": queue.name,
        "_AMQ_RoutingName": queue.name,
        "_AMQ_Distance": 0,
    }


def _binding(queue: Queue, address: str) -> Facts:
    return _place(queue, address) | {"_AMQ_Binding_ID": queue.uid}


def _head_of(consumer: Consumer) -> Client | None:
    head: Client | None = getattr(getattr(consumer.sink, "session", None), "head", None)
    return head


def _client_id_of(session: Session | None) -> str | None:
    return None if session is None else session.client_id or None


def _peer_of(head: Client | None) -> str | None:
    if head is None:
        return None
    facts = head.client_facts()
    return f"{facts.peer_host}:{facts.peer_port}"


def _subject_of(head: Client | None) -> str:
    """Whom a client's certificate is for."""
    tls = None if head is None else head.client_facts().tls
    return (tls.peer_subject if tls is not None else "") or NO_CERTIFICATE
