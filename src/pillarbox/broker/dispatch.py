"""Dispatch: hand a queue's ready messages to its consumers.

Among consumers of the highest priority that have credit and a writable outlet, messages go round robin:
a taken run is dealt in stripes, so equal consumers get equal shares message by message (R71), and who
was served moves behind who was not. Not here: credit bookkeeping on settlement (see `ledger`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

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
        consumers = _turns(queue)
        if not consumers:
            break
        if len(consumers) == 1:
            consumer = consumers[0]
            run = queue.take(min(consumer.credit, consumer.pool.credit, ROUND_MESSAGES - done))
            if run is None:
                break
            count = len(run.sequences)
            done += count
            hand_over(consumer, run, count)
            queue.move_back(consumers)
            continue
        run = queue.take(min(_deal_size(consumers), ROUND_MESSAGES - done))
        if run is None:
            break
        count = len(run.sequences)
        done += count
        served = consumers[:count]
        if len({consumer.ledger for consumer in served}) == len(served):
            # Where returns are counted, `cut` knows what belongs to each message.
            singly = count == len(served) and run.counts is None
            for position, consumer in enumerate(served):
                stripe = run.one(position) if singly else run.cut(slice(position, None, len(served)))
                hand_over(consumer, stripe, len(stripe.sequences))
        else:
            # Consumers that share a ledger see the messages in order, so they get them one by one.
            for position in range(count):
                hand_over(served[position % len(served)], run.cut(slice(position, position + 1)), 1)
        extra = count % len(consumers)
        queue.move_back(consumers[:extra] if extra else consumers)
    return done


def _turns(queue: Queue) -> list[Consumer]:
    """Whose turn it is: at most one consumer a message, all of the highest priority that can take any.

    A consumer whose turn comes while it has no credit loses its place until it has some.
    """
    able: list[Consumer] = []
    tired: list[Consumer] = []
    wanted = queue.ready_count
    if wanted > DEAL_CONSUMERS:
        wanted = DEAL_CONSUMERS
    for level in queue.turns:
        for consumer in level:
            if not consumer.outlet.writable:
                continue
            if consumer.credit > 0 and consumer.pool.credit > 0:
                able.append(consumer)
                if len(able) == wanted:
                    break
            else:
                tired.append(consumer)
        if able:
            break
    if tired:
        queue.block(tired)
    return able


def _deal_size(consumers: list[Consumer]) -> int:
    """How many messages can be dealt out to these so that nobody gets more than its credit."""
    if any(consumer.pool.is_limited for consumer in consumers):
        # Several of them may share a limited pool, so its credit is looked at again after each message.
        return 1
    if len(consumers) == DEAL_CONSUMERS:
        # There may be more of them: nobody gets a second message before everybody had one.
        return DEAL_CONSUMERS
    return min([consumer.credit for consumer in consumers]) * len(consumers)


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
        consumer.sink.deliver(consumer, run, tag)
        run.lane.settle_unanswered(run)
        return
    queue.counters.deliver += count
    ledger.counters.deliver += count
    consumer.credit -= count
    consumer.pool.credit -= count
    tag = ledger.add(consumer, run)
    run.lane.delivered(run)
    consumer.sink.deliver(consumer, run, tag)
