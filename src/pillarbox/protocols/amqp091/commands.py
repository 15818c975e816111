"""What each method of an open channel does: one function a method, and the table of them.

A function gets the channel and the decoded arguments, in the order of `methods`. It raises BrokerError
for refusals by the domain (the channel turns them into reply codes) and AmqpError for AMQP's own rules.

Source: AMQP 0-9-1 specification, classes channel, access, exchange, queue, basic, confirm, tx.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from pillarbox.broker.confirm import Publisher
from pillarbox.broker.consumer import UNLIMITED, Pool
from pillarbox.broker.ledger import Outcome
from pillarbox.broker.session import REPLY_TO, Deferred
from pillarbox.errors import BrokerError, Reason
from pillarbox.profiles import GLOBAL_PREFETCH
from pillarbox.protocols.amqp091 import methods as m
from pillarbox.protocols.amqp091.deaths import with_count_at_get
from pillarbox.protocols.amqp091.errors import AmqpError

if TYPE_CHECKING:
    from pillarbox.broker.queue import Queue
    from pillarbox.protocols.amqp091.channel import Channel

_CONTROL = str.maketrans("", "", "\r\n")


# --- channel and access ------------------------------------------------------------------------------


def channel_open(channel: Channel, _: str) -> None:
    if channel.opened:
        raise AmqpError(504, "second 'channel.open' seen", m.CHANNEL_OPEN)
    channel.opened = channel.plain = True
    channel.send_method(m.CHANNEL_OPEN_OK, b"")


def channel_close(channel: Channel, *_: Any) -> None:
    channel.end()
    channel.core.chores.when_done(channel.answer_close)


def channel_flow(channel: Channel, active: bool) -> None:
    if not active:
        raise AmqpError(540, "active=false", m.CHANNEL_FLOW)
    channel.send_method(m.CHANNEL_FLOW_OK, True)


def access_request(channel: Channel, *_: Any) -> None:
    channel.send_method(m.ACCESS_REQUEST_OK, 1)


# --- exchange ----------------------------------------------------------------------------------------


def exchange_declare(
    channel: Channel,
    _: int,
    name: str,
    kind: str,
    passive: bool,
    durable: bool,
    auto_delete: bool,
    internal: bool,
    nowait: bool,
    arguments: dict[str, Any],
) -> None:
    name = name.translate(_CONTROL)
    if passive:
        channel.session.find_exchange(name)
    else:
        channel.session.declare_exchange(
            name, kind, durable=durable, auto_delete=auto_delete, internal=internal, arguments=arguments
        )
    if not nowait:
        channel.send_method(m.EXCHANGE_DECLARE_OK)


def exchange_delete(channel: Channel, _: int, name: str, if_unused: bool, nowait: bool) -> None:
    channel.session.delete_exchange(name.translate(_CONTROL), if_unused=if_unused)
    if not nowait:
        channel.send_method(m.EXCHANGE_DELETE_OK)


def exchange_bind(
    channel: Channel,
    _: int,
    destination: str,
    source: str,
    key: str,
    nowait: bool,
    arguments: dict[str, Any],
) -> None:
    names = destination.translate(_CONTROL), source.translate(_CONTROL)
    channel.session.bind_exchange(*names, key, arguments, add=True)
    if not nowait:
        channel.send_method(m.EXCHANGE_BIND_OK)


def exchange_unbind(
    channel: Channel,
    _: int,
    destination: str,
    source: str,
    key: str,
    nowait: bool,
    arguments: dict[str, Any],
) -> None:
    names = destination.translate(_CONTROL), source.translate(_CONTROL)
    channel.session.bind_exchange(*names, key, arguments, add=False)
    if not nowait:
        channel.send_method(m.EXCHANGE_UNBIND_OK)


# --- queue -------------------------------------------------------------------------------------------


def _queue_name(channel: Channel, name: str) -> str:
    """An empty name means the queue that was declared last on this channel (R41)."""
    if name:
        return name.translate(_CONTROL)
    if channel.last_queue is None:
        raise BrokerError(Reason.NOT_FOUND, "no previously declared queue")
    return channel.last_queue


def queue_declare(
    channel: Channel,
    _: int,
    name: str,
    passive: bool,
    durable: bool,
    exclusive: bool,
    auto_delete: bool,
    nowait: bool,
    arguments: dict[str, Any],
) -> None:
    session = channel.session
    name = name.translate(_CONTROL)
    if session.is_reply_queue(name):
        if not nowait:
            channel.send_method(m.QUEUE_DECLARE_OK, name, 0, 1)
        return
    if passive:
        queue = session.find_queue(name)
    else:
        queue = session.declare_queue(
            name, durable=durable, exclusive=exclusive, auto_delete=auto_delete, arguments=arguments
        )
    channel.last_queue = queue.name
    if not nowait:
        channel.send_method(m.QUEUE_DECLARE_OK, queue.name, queue.ready_count, queue.consumer_count)


def queue_bind(
    channel: Channel,
    _: int,
    name: str,
    exchange: str,
    key: str,
    nowait: bool,
    arguments: dict[str, Any],
) -> None:
    queue = _queue_name(channel, name)
    key = key if key or name else queue
    channel.session.bind_queue(queue, exchange.translate(_CONTROL), key, arguments, add=True)
    if not nowait:
        channel.send_method(m.QUEUE_BIND_OK)


def queue_unbind(
    channel: Channel, _: int, name: str, exchange: str, key: str, arguments: dict[str, Any]
) -> None:
    queue = _queue_name(channel, name)
    key = key if key or name else queue
    channel.session.bind_queue(queue, exchange.translate(_CONTROL), key, arguments, add=False)
    channel.send_method(m.QUEUE_UNBIND_OK)


def queue_purge(channel: Channel, _: int, name: str, nowait: bool) -> None:
    count = channel.session.purge_queue(_queue_name(channel, name))
    if not nowait:
        channel.answer_when_done(m.QUEUE_PURGE_OK, count)


def queue_delete(channel: Channel, _: int, name: str, if_unused: bool, if_empty: bool, nowait: bool) -> None:
    count = channel.session.delete_queue(_queue_name(channel, name), if_unused=if_unused, if_empty=if_empty)
    if not nowait:
        channel.send_method(m.QUEUE_DELETE_OK, count)


# --- basic -------------------------------------------------------------------------------------------


def basic_qos(channel: Channel, size: int, count: int, shared: bool) -> None:
    """Not shared: for consumers to come (each its own); shared: for all of this channel together (R65)."""
    if size:
        raise AmqpError(540, f"prefetch_size!=0 ({size})", m.BASIC_QOS)
    if shared and channel.session.permits(GLOBAL_PREFETCH):
        _limit_pool(channel, count)
    else:
        # The way of RabbitMQ: a limit for each consumer to come ends the one for all together.
        _limit_pool(channel, 0)
        channel.prefetch = count
    channel.send_method(m.BASIC_QOS_OK)


def _limit_pool(channel: Channel, count: int) -> None:
    """Let all consumers of the channel together have `count` deliveries out (0: any number)."""
    for consumer in channel.consumers.values():
        consumer.queue.wake()
    channel.pool.set_limit(count or UNLIMITED)


def basic_consume(
    channel: Channel,
    _: int,
    name: str,
    tag: str,
    no_local: bool,
    no_ack: bool,
    exclusive: bool,
    nowait: bool,
    arguments: dict[str, Any],
) -> None:
    queue = _queue_name(channel, name)
    if tag in channel.consumers:
        raise AmqpError(530, f"attempt to reuse consumer tag '{tag}'", m.BASIC_CONSUME)
    limit = channel.connection.settings.consumer_max
    if limit and len(channel.consumers) >= limit:
        raise AmqpError(530, f"reached maximum ({limit}) of consumers per channel", m.BASIC_CONSUME)
    tag = tag or channel.core.unique_name("amq.ctag-")
    pool = channel.pool
    if queue == REPLY_TO:
        queue = _consume_replies(channel, no_ack)
        # Whoever waits for an answer may have all the work that the channel can have.
        pool = Pool()
    consumer = channel.session.consume(
        queue,
        channel,
        channel.ledger,
        tag=tag,
        no_ack=no_ack,
        exclusive=exclusive,
        prefetch=channel.prefetch,
        pool=pool,
        priority=arguments.get("x-priority", 0),
        arguments=arguments,
    )
    if not no_ack and (channel.core.ack_timeout_ms or consumer.queue.ack_timeout_ms):
        channel.time_answers(consumer.queue)
    if consumer.queue.in_log:
        channel.reads_streams = True
    consumer.head = {}
    channel.consumers[tag] = consumer
    if not nowait:
        channel.send_method(m.BASIC_CONSUME_OK, tag)


def _consume_replies(channel: Channel, no_ack: bool) -> str:
    """Direct reply-to (R70): a queue of this channel alone, under a name that only requests carry."""
    if not no_ack:
        raise BrokerError(Reason.PRECONDITION_FAILED, "reply consumer cannot acknowledge")
    if channel.reply_queue is not None:
        raise BrokerError(Reason.PRECONDITION_FAILED, "reply consumer already set")
    channel.reply_queue = channel.session.make_reply_queue(f"{REPLY_TO}.")
    return channel.reply_queue


def basic_cancel(channel: Channel, tag: str, nowait: bool) -> None:
    consumer = channel.consumers.pop(tag, None)
    if consumer is not None:
        channel.session.cancel(consumer)
        if consumer.queue.name == channel.reply_queue:
            channel.session.drop_reply_queue(channel.reply_queue)
            channel.reply_queue = None
    if not nowait:
        channel.send_method(m.BASIC_CANCEL_OK, tag)


def basic_get(channel: Channel, _: int, name: str, no_ack: bool) -> None:
    try:
        got = channel.session.get(_queue_name(channel, name), channel.ledger, no_ack=no_ack)
    except Deferred as deferred:
        _get_later(channel, deferred.queue, no_ack)
        return
    if got is None:
        channel.send_method(m.BASIC_GET_EMPTY, "")
        return
    queue, run, tag = got
    if not no_ack and (channel.core.ack_timeout_ms or queue.ack_timeout_ms):
        channel.time_answers(queue)
    assert run.messages is not None
    message = run.messages[0]
    if queue.delivery_limit is not None:
        message = with_count_at_get(channel.native(message), run)
    channel.answer_get(queue, message, tag, run.redelivered)


def _get_later(channel: Channel, queue: Queue, no_ack: bool) -> None:
    """Answer basic.get when the messages have come back from disk; the channel waits meanwhile."""
    channel.stall()

    def again() -> None:
        if not channel.closing:
            channel.go_on(lambda: basic_get(channel, 0, queue.name, no_ack))

    queue.when_loaded(again)


def basic_ack(channel: Channel, tag: int, multiple: bool) -> None:
    channel.settle(tag, multiple, Outcome.ACCEPTED, m.BASIC_ACK)


def basic_reject(channel: Channel, tag: int, requeue: bool) -> None:
    # To a queue that counts, this requeue is a failure and that of basic.nack is not (R52).
    channel.settle(tag, False, Outcome.MODIFIED if requeue else Outcome.REJECTED, m.BASIC_REJECT)


def basic_nack(channel: Channel, tag: int, multiple: bool, requeue: bool) -> None:
    channel.settle(tag, multiple, Outcome.RELEASED if requeue else Outcome.REJECTED, m.BASIC_NACK)


def demand_returnable(channel: Channel, tag: int, multiple: bool) -> None:
    """Refuse to give anything back to a stream: it is still there (R81)."""
    for entry in channel.ledger.entries():
        covered = entry.tag_first <= tag or not tag if multiple else entry.has(tag)
        if covered:
            entry.lane.queue.demand_returnable()


def _recover(channel: Channel, requeue: bool, method_id: int) -> None:
    if not requeue:
        raise AmqpError(540, "requeue=false", method_id)
    if channel.reads_streams:
        demand_returnable(channel, 0, True)
    channel.settle_many(0, Outcome.RELEASED)


def basic_recover_async(channel: Channel, requeue: bool) -> None:
    _recover(channel, requeue, m.BASIC_RECOVER_ASYNC)


def basic_recover(channel: Channel, requeue: bool) -> None:
    _recover(channel, requeue, m.BASIC_RECOVER)
    channel.send_method(m.BASIC_RECOVER_OK)


# --- confirm and tx ----------------------------------------------------------------------------------


def confirm_select(channel: Channel, nowait: bool) -> None:
    if channel.transactional:
        raise BrokerError(Reason.PRECONDITION_FAILED, "cannot switch from tx to confirm mode")
    if channel.publisher is None:
        channel.publisher = Publisher(channel)
    if not nowait:
        channel.send_method(m.CONFIRM_SELECT_OK)


def tx_select(channel: Channel) -> None:
    if channel.publisher is not None:
        raise BrokerError(Reason.PRECONDITION_FAILED, "cannot switch from confirm to tx mode")
    if not channel.transactional:
        # Loaded by the first who wants it; it builds on the channel, which knows these functions.
        from pillarbox.protocols.amqp091.transactional import begin

        begin(channel)
        channel.session.trace(channel.session.vhost.tracing)
    channel.send_method(m.TX_SELECT_OK)


def tx_commit(channel: Channel) -> None:
    channel.commit()


def tx_rollback(channel: Channel) -> None:
    channel.rollback()


HANDLERS: dict[int, Callable[..., None]] = {
    m.CHANNEL_OPEN: channel_open,
    m.CHANNEL_CLOSE: channel_close,
    m.CHANNEL_FLOW: channel_flow,
    m.ACCESS_REQUEST: access_request,
    m.EXCHANGE_DECLARE: exchange_declare,
    m.EXCHANGE_DELETE: exchange_delete,
    m.EXCHANGE_BIND: exchange_bind,
    m.EXCHANGE_UNBIND: exchange_unbind,
    m.QUEUE_DECLARE: queue_declare,
    m.QUEUE_BIND: queue_bind,
    m.QUEUE_UNBIND: queue_unbind,
    m.QUEUE_PURGE: queue_purge,
    m.QUEUE_DELETE: queue_delete,
    m.BASIC_QOS: basic_qos,
    m.BASIC_CONSUME: basic_consume,
    m.BASIC_CANCEL: basic_cancel,
    m.BASIC_GET: basic_get,
    m.BASIC_ACK: basic_ack,
    m.BASIC_REJECT: basic_reject,
    m.BASIC_NACK: basic_nack,
    m.BASIC_RECOVER: basic_recover,
    m.BASIC_RECOVER_ASYNC: basic_recover_async,
    m.CONFIRM_SELECT: confirm_select,
    m.TX_SELECT: tx_select,
    m.TX_COMMIT: tx_commit,
    m.TX_ROLLBACK: tx_rollback,
}
