"""Dispatch: hand a queue's ready messages to its consumers.

Among consumers of the highest priority that have credit and a writable outlet, messages go round robin:
a taken run is dealt in stripes, so equal consumers get equal shares message by message (R71), and who
was served moves behind who was not. Not here: credit bookkeeping on settlement (see `ledger`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pillarbox.broker.consumer import UNLIMITED

if TYPE_CHECKING:
    from pillarbox.broker.consumer import Consumer
    from pillarbox.broker.queue import Queue
    from pillarbox.broker.run import Run

ROUND_MESSAGES = 1000
"""Messages that one queue may hand out before others get their turn: about a millisecond's work."""

DEAL_CONSUMERS = 64
"""Consumers among which one run is dealt, so that a message never costs a look at thousands of them."""


def dispatch(queue: Queue) -> int:
    """Deliver while there are ready messages and consumers with credit, up to `ROUND_MESSAGES`.

    Returns how many were delivered; the caller looks again next tick if the round was used up.
    """
    done = 0
    while queue.turns and queue.ready_count and done < ROUND_MESSAGES:
        consumers, wanted = _turns(queue)
        if not consumers:
            break
        left = ROUND_MESSAGES - done
        run = queue.take(wanted if wanted < left else left)
        if run is None:
            break
        count = len(run.sequences)
        done += count
        among = len(consumers)
        if count == 1 or among == 1:
            hand_over(consumers[0], run, count)
        else:
            _deal(run, count, consumers)
        extra = count % among
        queue.move_back(consumers[:extra] if extra else consumers)
    return done


def _turns(queue: Queue) -> tuple[list[Consumer], int]:
    """Whose turn it is, and how many messages may be dealt out so that nobody gets more than its credit.

    They are at most one consumer a message, all of the highest priority that can take any. A consumer whose
    turn comes while it has no credit loses its place until it has some.
    """
    able: list[Consumer] = []
    tired: list[Consumer] = []
    wanted = queue.ready_count
    if wanted > DEAL_CONSUMERS:
        wanted = DEAL_CONSUMERS
    least = pooled = UNLIMITED
    for level in queue.turns:
        for consumer in level:
            if not consumer.outlet.writable:
                continue
            credit, pool = consumer.credit, consumer.pool
            if credit > 0 and pool.credit > 0:
                able.append(consumer)
                if credit < least:
                    least = credit
                if pool.is_limited:
                    pooled = pool.credit
                if len(able) == wanted:
                    break
            else:
                tired.append(consumer)
        if able:
            break
    if tired:
        queue.block(tired)
    among = len(able)
    if among == 1:
        return able, least if least < pooled else pooled
    if pooled != UNLIMITED:
        # Several of them may share a limited pool, so its credit is looked at again after each message.
        return able, 1
    if among == DEAL_CONSUMERS:
        # There may be more of them: nobody gets a second message before everybody had one.
        return able, among
    return able, least * among


def _deal(run: Run, count: int, consumers: list[Consumer]) -> None:
    """Deal out a run of so many messages, from the first consumer on."""
    among = len(consumers)
    if count <= among and run.counts is None:
        # Where returns are counted, `cut` knows what belongs to each message.
        for position in range(count):
            hand_over(consumers[position], run.one(position), 1)
        return
    served = consumers[:count]
    if len({consumer.ledger for consumer in served}) == len(served):
        for position, consumer in enumerate(served):
            stripe = run.cut(slice(position, None, len(served)))
            hand_over(consumer, stripe, len(stripe.sequences))
    else:
        # Consumers that share a ledger see the messages in order, so they get them one by one.
        for position in range(count):
            hand_over(served[position % len(served)], run.cut(slice(position, position + 1)), 1)


def hand_over(consumer: Consumer, run: Run, count: int) -> None:
    """Let a consumer have a run of so many messages."""
    queue = consumer.queue
    ledger = consumer.ledger
    if run.redelivered:
        ledger.counters.redeliver += count
    if consumer.no_ack:
        queue.counters.deliver_no_ack += count
        ledger.counters.deliver_no_ack += count
        tag = ledger.skip(count, run)
    else:
        queue.counters.deliver += count
        ledger.counters.deliver += count
        consumer.credit -= count
        consumer.pool.credit -= count
        tag = ledger.add(consumer, run)
        run.lane.delivered(run)
    try:
        # `Consumer.deliver`, without a call for it.
        consumer.sink.deliver(consumer, run, tag)
    except Exception as error:
        consumer.broke(error)
    if consumer.no_ack:
        run.lane.settle_unanswered(run)
