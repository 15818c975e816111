"""The XML of ActiveMQ's web console, which plugins of Nagios and Telegraf's input `activemq` read (A82).

    GET /admin/xml/queues.jsp, /admin/xml/topics.jsp, /admin/xml/subscribers.jsp

Subscribers are durable ones, with those first that are connected; `size` of a topic is what its subscribers
have not settled. Attributes of which nobody knows the value (see `ops.messaging.seen`) are missing. The links
of `feed` are told as with ActiveMQ, and lead nowhere: there is no such view.

Source: the elements and attributes of ActiveMQ's console, 5.x.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final
from urllib.parse import quote
from xml.sax.saxutils import quoteattr

from pillarbox.broker.jms_destinations import Numbers, numbers_of
from pillarbox.ops.messaging import seen

if TYPE_CHECKING:
    from pillarbox.broker.vhost import VHost

XML: Final = "text/xml;charset=utf-8"
STEP_ELEMENTS: Final = 20
"""Elements of a step: some 15 µs each."""
NOT_XML: Final = dict.fromkeys(
    (*set(range(32)).difference(b"\t\n\r"), *range(0xD800, 0xE000), 0xFFFE, 0xFFFF),
    "\N{REPLACEMENT CHARACTER}",
)
"""Characters that no XML may have; names of AMQP queues may."""


def _attributes(**values: object) -> str:
    return "".join(f" {name}={quoteattr(str(value).translate(NOT_XML))}" for name, value in values.items())


def _stats(numbers: Numbers | None, consumers: int) -> str:
    told = {"consumerCount": consumers}
    if numbers is not None:
        told = {
            "size": numbers.pending,
            **told,
            "enqueueCount": numbers.enqueued,
            "dequeueCount": numbers.dequeued,
        }
    return f"<stats{_attributes(**told)}/>"


def _queues(vhost: VHost) -> Iterator[str]:
    for queue in seen.queues(vhost):
        place = f"queueBrowse/{quote(queue.name.encode('utf-8', 'replace'), safe='')}?view=rss&amp;feedType="
        yield (
            f"<queue{_attributes(name=queue.name)}>\n{_stats(numbers_of(queue), queue.consumer_count)}\n"
            f"<feed>\n<atom>{place}atom_1.0</atom>\n<rss>{place}rss_2.0</rss>\n</feed>\n</queue>\n"
        )


def _topics(vhost: VHost) -> Iterator[str]:
    walk = seen.topics(vhost)
    while True:
        try:
            next(walk)
        except StopIteration as end:
            found: dict[str, seen.Topic] = end.value
            break
        yield ""
    for topic in found.values():
        stats = _stats(topic.numbers, topic.consumer_count)
        yield f"<topic{_attributes(name=topic.name)}>\n{stats}\n</topic>\n"


def _subscribers(vhost: VHost) -> Iterator[str]:
    offline = []
    for one in seen.subscribers(vhost):
        if not one.is_durable:
            yield ""
        elif one.is_active:
            yield _subscriber(one)
        else:
            offline.append(one)
    for one in offline:
        if not one.queue.deleted:
            yield _subscriber(one)


def _subscriber(one: seen.Subscriber) -> str:
    numbers = numbers_of(one.queue)
    said = _attributes(
        clientId=one.client_id,
        subscriptionName=one.name,
        connectionId="NOTSET" if one.facts is None else one.facts.name,
        destinationName=one.destination,
        selector=one.selector,
        active="yes" if one.is_active else "no",
    )
    stats = _attributes(
        pendingQueueSize=one.queue.ready_count,
        dispatchedQueueSize=numbers.in_flight,
        dispatchedCounter=numbers.dispatched,
        enqueueCounter=numbers.enqueued,
        dequeueCounter=numbers.dequeued,
    )
    return f"<subscriber{said}>\n<stats{stats}/>\n</subscriber>\n"


FEEDS: Final[dict[str, tuple[str, Callable[[VHost], Iterator[str]]]]] = {
    "/admin/xml/queues.jsp": ("queues", _queues),
    "/admin/xml/topics.jsp": ("topics", _topics),
    "/admin/xml/subscribers.jsp": ("subscribers", _subscribers),
}


def feed(path: str, vhost: VHost | None) -> Iterator[bytes]:
    """One of them, in steps."""
    name, elements = FEEDS[path]
    yield f"<{name}>\n".encode()
    step: list[str] = []
    for element in () if vhost is None else elements(vhost):
        step.append(element)
        if len(step) == STEP_ELEMENTS:
            yield "".join(step).encode()
            step.clear()
    yield f"{''.join(step)}</{name}>\n".encode()
