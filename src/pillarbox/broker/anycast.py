"""Anycast addresses with several queues: each message that is sent to one goes to one of its queues (A2).

Most addresses have the queue of their name alone, and what is sent there goes to it by the default exchange.
The queues of all others are bound to the exchange `ANYCAST`, with the address as key; there they take turns,
and those that somebody reads come first. So an address is nothing but its bindings, which are as durable as
its queues, and goes with them. The queue of its name takes part whenever it is there.

Not here: how clients write addresses (a head). Source: Artemis' manual, "Address Model";
2.44.0 asked with `tests/compare_messaging/scenarios/stomp_on_artemis.py`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pillarbox.broker.exchange import ANYCAST
from pillarbox.broker.index import ANY_MESSAGE

if TYPE_CHECKING:
    from pillarbox.broker.queue import Queue
    from pillarbox.broker.session import Session
    from pillarbox.broker.vhost import VHost

KIND = "x-anycast"


def queues_of(vhost: VHost, address: str) -> tuple[Queue, ...]:
    """The queues that take turns at an address; none: it is a queue, or nothing."""
    exchange = vhost.exchanges.get(ANYCAST)
    return () if exchange is None else exchange.resolve((address,), ANY_MESSAGE).queues


def is_shared(vhost: VHost, address: str) -> bool:
    """Has it a queue of another name?"""
    return any(queue.name != address for queue in queues_of(vhost, address))


def address_of(vhost: VHost, queue: Queue) -> str | None:
    """The address of a queue that has another name; None: there is none."""
    keys = (each.key for each in vhost.bindings_to(queue) if each.source.name == ANYCAST)
    return next((key for key in keys if key != queue.name), None)


def take_part(vhost: VHost, address: str) -> bool:
    """Let the queue of an address' name take part if there are others; are there?"""
    if not is_shared(vhost, address):
        return False
    queue = vhost.queues.get(address)
    if queue is not None:
        vhost.bind(vhost.exchanges[ANYCAST], queue, address, {})
    return True


def demand_joining(session: Session, address: str) -> None:
    """Refuse whoever may not have messages of an address: those of the queue of its name."""
    session.demand_queue("read", address)
    session.demand_exchange("read", ANYCAST)


def join(session: Session, address: str, queue: str) -> None:
    """Let a queue of another name take part. Raises BrokerError."""
    vhost = session.vhost
    exchange = vhost.declare_exchange(ANYCAST, KIND, durable=True)
    session.bind_queue(queue, ANYCAST, address, {}, add=True)
    if vhost.interception is not None:
        vhost.interception.stand_before(exchange)
    take_part(vhost, address)
    if address in vhost.queues:
        # Who has sent there until now went to this queue alone.
        vhost.queues[address].invalidate()
