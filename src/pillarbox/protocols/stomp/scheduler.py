"""Scheduled messages as a client manages them: by messages to `ActiveMQ.Scheduler.Management` (A35).

Such a message is an order and is never delivered. `AMQ_SCHEDULER_ACTION` says what to do with what waits
in this virtual host: BROWSE sends a copy of it to `reply-to`, first due first; REMOVE forgets that of
`scheduledJobId`; REMOVEALL forgets all. `ACTION_START_TIME` and `ACTION_END_TIME`, both moments in
milliseconds, bound when it is due. Any other order does nothing, as with ActiveMQ.

What the client sends next, and the receipt, wait until it is done. Whoever may not read the exchanges in
which messages wait may not browse, and whoever may not configure them may not remove: what waits is
everybody's.

Source: ActiveMQ, "Delay and Schedule Message Delivery"; 5.17.2 asked by `tests/compare_messaging`.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

import msgspec

from pillarbox.broker.schedule_header import (
    SCHEDULED_ANYCAST,
    SCHEDULED_QUEUES,
    SCHEDULED_TOPICS,
    SCHEDULES,
)
from pillarbox.broker.schedule_walk import Place, Walk, by_due_time, by_place
from pillarbox.engine.base import Message
from pillarbox.errors import BrokerError
from pillarbox.protocols.stomp import destinations
from pillarbox.protocols.stomp.declaring import JOB, reply_to
from pillarbox.protocols.stomp.destinations import shown
from pillarbox.protocols.stomp.errors import StompError, from_broker_error
from pillarbox.protocols.stomp.headers import ADVISORY, ORIGIN
from pillarbox.protocols.stomp.replies import send

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from pillarbox.broker.schedule import Schedule
    from pillarbox.broker.schedule_lane import ScheduleLane
    from pillarbox.broker.schedule_walk import See
    from pillarbox.broker.target import Target
    from pillarbox.engine.base import Body
    from pillarbox.protocols.stomp.channel import Channel

MANAGEMENT: Final = "activemq.scheduler.management"
"""How the name of a destination begins, in lower case, by which messages that wait are managed."""
ACTION: Final = "AMQ_SCHEDULER_ACTION"
BROWSE, REMOVE, REMOVE_ALL = "BROWSE", "REMOVE", "REMOVEALL"
START: Final = ("ACTION_START_TIME", "AMQ_SCHEDULER_ACTION_START_TIME")
END: Final = ("ACTION_END_TIME", "AMQ_SCHEDULER_ACTION_END_TIME")
"""As the constants are called in ActiveMQ, and what they are."""
EVER_MS: Final = 1 << 62
WORDS: Final = {own: name for name, own in SCHEDULES.items()}


def is_management(text: str) -> bool:
    """Is this destination where scheduled messages are managed?"""
    return MANAGEMENT in text.lower() and _parsed(text) is not None


def _parsed(text: str) -> destinations.Destination | None:
    found = destinations.queue_or_topic(text)
    return found if found is not None and found.key.lower().startswith(MANAGEMENT) else None


def manage(
    channel: Channel, text: str, headers: Mapping[str, str], _body: Body, receipt: bytes | None
) -> None:
    """Do what a message to that destination asks for. Raises StompError, before anything is done."""
    found = _parsed(text)
    assert found is not None
    try:
        channel.session.route(found.exchange, (found.key,))
        work = _work(channel, headers)
    except BrokerError as error:
        raise from_broker_error(error) from None
    if work is None:
        channel.receipts.ask(receipt)
        return
    channel.walk(work, receipt)


def _work(channel: Channel, headers: Mapping[str, str]) -> Callable[[Callable[[], None]], Walk] | None:
    """The walk that an order asks for, still without its end; None: there is nothing to be done."""
    action = headers.get(ACTION)
    first_ms, last_ms = _moment(headers, START), _moment(headers, END)
    if first_ms is None or last_ms is None:
        # One alone bounds nothing.
        first_ms, last_ms = -EVER_MS, EVER_MS
    if action == BROWSE and "reply-to" in headers:
        _demand(channel, "read")
        target = channel.publishing.target(reply_to(channel, headers["reply-to"]), {})
        return _walk(channel, first_ms, last_ms, partial(_send_copy, channel, target), reads=True)
    if action == REMOVE and headers.get(JOB):
        _demand(channel, "configure")
        job = headers[JOB]
        schedules = _schedules(channel)
        see = partial(_drop_job, channel, job)
        return lambda end: Walk(
            channel.core, schedules, lambda: by_place(schedules), see, reads=True, end=end
        )
    if action == REMOVE_ALL:
        _demand(channel, "configure")
        return _walk(channel, first_ms, last_ms, _drop, reads=False)
    return None


def _walk(
    channel: Channel, first_ms: int, last_ms: int, see: See, *, reads: bool
) -> Callable[[Callable[[], None]], Walk]:
    schedules = _schedules(channel)

    def places() -> Iterator[Place | None]:
        return by_due_time(schedules, first_ms, last_ms)

    return lambda end: Walk(channel.core, schedules, places, see, reads=reads, end=end)


def _demand(channel: Channel, action: str) -> None:
    for name in (SCHEDULED_QUEUES, SCHEDULED_TOPICS, SCHEDULED_ANYCAST):
        # There is hardly ever an address with several queues, and hardly anybody has a right to one.
        if name != SCHEDULED_ANYCAST or name in channel.session.vhost.exchanges:
            channel.session.demand_exchange(action, name)


def _schedules(channel: Channel) -> list[Schedule]:
    exchanges = channel.session.vhost.exchanges
    names = (SCHEDULED_QUEUES, SCHEDULED_TOPICS, SCHEDULED_ANYCAST)
    found = [exchanges[name].schedule for name in names if name in exchanges]
    return [schedule for schedule in found if schedule is not None]


def _moment(headers: Mapping[str, str], names: tuple[str, ...]) -> int | None:
    for name in names:
        if name in headers:
            text = headers[name]
            if not (text.isascii() and text.removeprefix("-").isdigit()) or len(text) > 18:
                raise StompError("Invalid header", f"header '{name}' is '{text}': it must be in milliseconds")
            return int(text)
    return None


def _drop(lane: ScheduleLane, sequence: int, message: Message | None) -> None:
    lane.drop(sequence)


def _drop_job(channel: Channel, job: str, lane: ScheduleLane, sequence: int, message: Message | None) -> None:
    """Forget a message if it is of this job."""
    # Most are not, which their bytes show: only what may be is taken apart.
    if message is None or job.encode() not in message.properties:
        return
    if channel.core.dialects.said(message).headers.get(JOB) == job:
        lane.drop(sequence)


def _send_copy(
    channel: Channel, target: Target, lane: ScheduleLane, sequence: int, message: Message | None
) -> None:
    """Send what waits to whoever browses: as it was sent, but for what says that it is a copy."""
    if message is None:
        return
    core = channel.core
    said = core.dialects.said(message)
    address = message.address
    headers = {WORDS.get(name, name): value for name, value in said.headers.items()}
    headers[ORIGIN] = shown(address.exchange, address.routing_key, slashes=channel.settings.is_activemq)
    copy = msgspec.structs.replace(said, headers=headers, type=ADVISORY, persistent=False)
    sent = msgspec.structs.replace(message, address=target.address, persistent=False)
    sent = msgspec.structs.replace(sent, properties=channel.dialect.write(copy, sent))
    send(channel, target, sent)
