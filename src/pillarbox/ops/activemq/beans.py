"""The management beans that there are: what they stand for, how they are called, how one is found.

A bean is a *kind* (`KINDS`: attributes, operations) and a thing of the broker. Subscriptions, producers and
connections are read from the core when somebody asks; nothing is registered. To add a kind: a row, and where
it is listed in `paced`.

Source: ActiveMQ's names, `BrokerMBeanSupport`, measured on 5.17.2.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Generator, Iterator
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

from pillarbox.ops.activemq import artemis
from pillarbox.ops.activemq.names import BeanName, encoded
from pillarbox.ops.messaging import seen

if TYPE_CHECKING:
    from pillarbox.broker.client import ClientChannel, ClientFacts
    from pillarbox.broker.consumer import Consumer
    from pillarbox.broker.queue import Queue
    from pillarbox.broker.session import Session
    from pillarbox.ops.activemq.view import View

DOMAIN: Final = "org.apache.activemq"
BROKER: Final = "localhost"
VERSION: Final = "5.17.2"
"""The release that answers were measured on."""
OF_ALL: Final = {"type": "Broker", "brokerName": BROKER}
HEALTH: Final = OF_ALL | {"service": "Health"}
SCHEDULER: Final = OF_ALL | {"service": "JobScheduler", "name": "JMS"}
NOT_SET: Final = "NOTSET"

Result = TypeVar("Result")
Steps = Generator[None, None, Result]
"""Work in small steps, with a result at the end."""


class Bean(NamedTuple):
    """One of them. `kind`: a row of `KINDS`."""

    name: BeanName
    kind: str
    thing: Any = None


class Receiver(NamedTuple):
    """A consumer, or a durable subscription without one."""

    subscriber: seen.Subscriber | None
    """Of a subscription to topics."""
    queue: Queue
    consumer: Consumer | None
    session: Session | None
    facts: ClientFacts | None
    client: str


class Sender(NamedTuple):
    """A channel on which something was published."""

    channel: ClientChannel
    session: Session
    facts: ClientFacts
    client: str


class Connected(NamedTuple):
    """A connection, as clients see it; told twice: by client id and by address."""

    session: Session
    facts: ClientFacts
    client: str


class Acceptor(NamedTuple):
    """A listening socket for clients."""

    protocol: str
    host: str
    port: int

    @property
    def uri(self) -> str:
        return f"{self.protocol}://{self.host}:{self.port}"


def name_of(queue: str, kind: str = "Queue") -> BeanName:
    """What the bean of a queue is called, or of a topic."""
    return BeanName(DOMAIN, OF_ALL | {"destinationType": kind, "destinationName": encoded(queue)})


def _within(keys: dict[str, str], **more: str) -> BeanName:
    return BeanName(DOMAIN, keys | {name: encoded(text) for name, text in more.items()})


def receiver_name(one: Receiver) -> BeanName:
    """What the bean of a consumer is called."""
    subscriber = one.subscriber
    if subscriber is None:
        keys = name_of(one.queue.name).keys
    else:
        keys = name_of(subscriber.destination, "Topic").keys
    if subscriber is not None and subscriber.is_durable:
        identity = f"Durable({one.client}:{subscriber.name})"
    else:
        identity = f"{one.client}:{'' if one.consumer is None else one.consumer.tag}"
    return _within(keys, endpoint="Consumer", clientId=one.client, consumerId=identity)


def sender_name(one: Sender) -> BeanName:
    """What the bean of a producer is called; it is bound to no destination, as those of STOMP's clients."""
    identity = f"{one.client}:{one.channel.number}"
    return _within(OF_ALL, endpoint="dynamicProducer", clientId=one.client, producerId=identity)


def acceptor_name(one: Acceptor) -> BeanName:
    return _within(OF_ALL, connector="clientConnectors", connectorName=one.uri)


def connection_names(view: View, one: Connected) -> tuple[BeanName, BeanName]:
    """The two names of a connection's bean: by client id, and by address."""
    port = one.facts.port
    found = next((each for each in acceptors(view) if each.port == port), None)
    keys = acceptor_name(found or Acceptor(one.facts.protocol.partition(" ")[0].lower(), "", port)).keys
    return (
        _within(keys, connectionViewType="clientId", connectionName=one.client),
        _within(keys, connectionViewType="remoteAddress", connectionName=address_of(one.facts)),
    )


def address_of(facts: ClientFacts) -> str:
    return f"tcp://{facts.peer_host}:{facts.peer_port}"


# --- what there is -----------------------------------------------------------------------------------------


def client_of(session: Session | None, facts: ClientFacts | None) -> str:
    """A client's id; whoever has given none is known by its address."""
    if named := seen.client_id_of(session):
        return named
    return "" if facts is None else f"ID:{facts.peer_host}-{facts.peer_port}"


def sessions(view: View) -> Iterator[Connected]:
    """The connections in the virtual host."""
    for session in list(view.core.sessions):
        if session.head is not None and session.vhost.name == view.vhost:
            facts = session.head.client_facts()
            yield Connected(session, facts, client_of(session, facts))


def senders(view: View) -> Iterator[Sender]:
    for one in sessions(view):
        for channel in list(one.session.channels):
            if channel.counters.publish:
                yield Sender(channel, one.session, one.facts, one.client)


def receiver_of(view: View, consumer: Consumer) -> Receiver:
    """What a consumer is to the outside."""
    host, queue = view.core.vhosts[view.vhost], consumer.queue
    subscriber = seen.subscriber_of(host, queue) if seen.is_subscriber(host, queue) else None
    return _receiver(subscriber, queue, consumer)


def _receiver(subscriber: seen.Subscriber | None, queue: Queue, consumer: Consumer | None) -> Receiver:
    session = seen.session_of(consumer)
    head = None if session is None else session.head
    facts = None if head is None else head.client_facts()
    client = client_of(session, facts)
    if subscriber is not None and subscriber.is_durable:
        client = subscriber.client_id or client
    return Receiver(subscriber, queue, consumer, session, facts, client)


def receivers_of(view: View, queue: Queue) -> Iterator[Receiver]:
    """The consumers of a queue; a durable subscription is one, whether anybody is there or not."""
    host = view.core.vhosts[view.vhost]
    subscriber = seen.subscriber_of(host, queue) if seen.is_subscriber(host, queue) else None
    if subscriber is not None and subscriber.is_durable:
        yield _receiver(subscriber, queue, subscriber.consumer)
        return
    for consumer in (*queue.consumers, *queue.standby):
        yield _receiver(subscriber, queue, consumer)


def receivers(view: View) -> Iterator[Receiver]:
    for queue in list(view.queues.values()):
        if not queue.deleted:
            yield from receivers_of(view, queue)


def acceptors(view: View) -> Iterator[Acceptor]:
    """Where clients may come, but for HTTP."""
    for one in view.node.listeners:
        if not one.protocol.startswith("http"):
            yield Acceptor(one.protocol.replace("/", "+"), one.host, one.port)


# --- finding -----------------------------------------------------------------------------------------------


def find(view: View, name: BeanName) -> Bean | None:
    """The bean of a name that can be looked up: the broker, its services, a queue."""
    if name.domain != DOMAIN:
        return None
    fixed = {"Broker": OF_ALL, "Health": HEALTH, "JobScheduler": SCHEDULER}
    for kind, keys in fixed.items():
        if name.keys == keys:
            return Bean(name, kind)
    wanted = name.keys.get("destinationName", "")
    if not wanted or name.keys != OF_ALL | {"destinationType": "Queue", "destinationName": wanted}:
        return None
    queue = view.queues.get(wanted)
    if queue is None and ("_" in wanted or "&" in wanted):
        queue = next((one for one in view.queues.values() if encoded(one.name) == wanted), None)
    return None if queue is None else Bean(name, "Queue", queue)


async def find_any(view: View, name: BeanName) -> Bean | None:
    """The bean of any name."""
    if name.domain == artemis.DOMAIN:
        found = artemis.find(view, name)
        if found is None:
            there = await in_steps(view, artemis.everything(view))
            found = next((each for each in there if artemis.is_same(name, each.name)), None)
        return found
    found = find(view, name)
    if found is not None or name.domain != DOMAIN or len(name.keys) <= len(OF_ALL):
        return found
    async for each in paced(view):
        if each.name.keys == name.keys:
            return each
    return None


def everything(view: View) -> Steps[list[Bean]]:
    """All of them in one list, in steps: of ten thousand queues that is some hundred milliseconds' work."""
    found = [Bean(BeanName(DOMAIN, keys), kind) for kind, keys in _FIXED]
    host = view.core.vhosts.get(view.vhost)
    if host is None:
        return found
    for queue in seen.queues(host):
        found.append(Bean(name_of(queue.name), "Queue", queue))
        yield
    topics = yield from seen.topics(host)
    for topic in topics.values():
        found.append(Bean(name_of(topic.name, "Topic"), "Topic", topic))
        yield
    for receiver in receivers(view):
        found.append(Bean(receiver_name(receiver), "Consumer", receiver))
        yield
    for sender in senders(view):
        found.append(Bean(sender_name(sender), "Producer", sender))
        yield
    for acceptor in acceptors(view):
        found.append(Bean(acceptor_name(acceptor), "Connector", acceptor))
    for connected in sessions(view):
        found += (Bean(name, "Connection", connected) for name in connection_names(view, connected))
        yield
    return found


_FIXED: Final = (("Broker", OF_ALL), ("Health", HEALTH), ("JobScheduler", SCHEDULER))


async def in_steps(view: View, steps: Steps[Result]) -> Result:
    """Do work that comes in steps, and let others have their turns."""
    pace = view.pace
    await pace.begin()
    view.begin()
    while True:
        try:
            next(steps)
        except StopIteration as end:
            result: Result = end.value
            return result
        if pace.is_over:
            await pace.begin()
            view.begin()


async def paced(view: View, domain: str = DOMAIN) -> AsyncIterator[Bean]:
    """All of a domain, or of both where that is a pattern, in slices. What has gone meanwhile is left out."""
    pace = view.pace
    found: list[Bean] = []
    for own, steps in ((DOMAIN, everything), (artemis.DOMAIN, artemis.everything)):
        if fnmatchcase(own, domain):
            found += await in_steps(view, steps(view))
    for bean in found:
        queue = bean.thing if bean.kind == "Queue" else getattr(bean.thing, "queue", None)
        if queue is None or not queue.deleted:
            yield bean
        if pace.is_over:
            await pace.begin()
            view.begin()


def names_of(beans: Callable[[View], Iterator[BeanName]]) -> Callable[[View], Steps[list[dict[str, str]]]]:
    """An attribute that names other beans."""

    def told(view: View) -> Steps[list[dict[str, str]]]:
        found = []
        for name in beans(view):
            found.append({"objectName": name.canonical})
            yield
        return found

    return told
