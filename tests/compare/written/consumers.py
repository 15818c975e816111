"""Consumers: shares, prefetch, cancelling."""

from __future__ import annotations

from tests.compare.operations import (
    Sequence,
    ack,
    cancel,
    close_channel,
    consume,
    declare,
    get,
    nack,
    op,
    publish,
    qos,
    reject,
)
from tests.compare.written.registry import transcript


@transcript("R71")
def round_robin_without_prefetch() -> Sequence:
    """Equal consumers get messages in turn, message by message, and the turn is kept between publishes."""
    return [
        declare("q1"),
        consume("q1", "c1"),
        consume("q1", "c2", on="a2"),
        consume("q1", "c3", on="b1", no_ack=True),
        publish("q1", count=7),
        publish("q1"),
        publish("q1", count=3),
        cancel("c2", on="a2"),
        publish("q1", count=4),
        consume("q1", "c4", on="a2"),
        publish("q1", count=6),
        close_channel("b1"),
        publish("q1", count=4),
    ]


@transcript("R71", "R65")
def round_robin_with_prefetch_one() -> Sequence:
    """Who acknowledges goes to the end of the line."""
    return [
        declare("q1"),
        qos(1),
        qos(1, on="a2"),
        qos(1, on="b1"),
        consume("q1", "c1"),
        consume("q1", "c2", on="a2"),
        consume("q1", "c3", on="b1"),
        publish("q1", count=10),
        ack(0, on="a2"),
        ack(0, on="b1"),
        ack(0),
        ack(0),
        ack(0, on="b1"),
        nack(0, on="a2"),
        ack(0, on="a2"),
        ack(0),
        ack(0, on="b1"),
        ack(0, on="a2"),
        ack(0),
        publish("q1", count=2),
    ]


@transcript("R71")
def waiting_messages_go_to_the_first_consumer() -> Sequence:
    """What waits is dealt out as soon as there is somebody; later consumers share what comes later."""
    return [
        declare("q1"),
        publish("q1", count=6),
        consume("q1", "c1"),
        consume("q1", "c2", on="a2"),
        publish("q1", count=3),
        nack(0, multiple=True),
        nack(-1, multiple=True),
        close_channel(),
        publish("q1", count=2),
        close_channel("a2"),
        declare("q1"),
    ]


@transcript("R65")
def prefetch_is_per_consumer() -> Sequence:
    """basic.qos without global holds for consumers made after it, each by itself."""
    return [
        declare("q1"),
        qos(2),
        consume("q1", "c1"),
        qos(3),
        consume("q1", "c2"),
        publish("q1", count=9),
        ack(0),
        ack(0),
        ack(0, multiple=True),
        qos(0),
        publish("q1", count=4),
        consume("q1", "c3"),
        publish("q1", count=2),
    ]


@transcript("R65")
def prefetch_per_channel() -> Sequence:
    """basic.qos with global holds for all consumers of the channel together, also those that are there."""
    return [
        declare("q1"),
        consume("q1", "c1"),
        qos(2, global_=True),
        consume("q1", "c2"),
        publish("q1", count=8),
        ack(0),
        ack(0),
        qos(4, global_=True),
        ack(0),
        qos(0, global_=True),
        publish("q1", count=2),
        ack(0),
    ]


@transcript("R65")
def both_prefetches_together() -> Sequence:
    """A consumer gets no more than either allows."""
    return [
        declare("q1"),
        qos(2),
        qos(3, global_=True),
        consume("q1", "c1"),
        publish("q1", count=10),
        consume("q1", "c2"),
        ack(0),
        ack(0, multiple=True),
        ack(-1, multiple=True),
        ack(-1, multiple=True),
    ]


@transcript("R65")
def per_consumer_prefetch_lifts_the_channels() -> Sequence:
    """basic.qos without global takes the channel's limit away, whatever its count."""
    return [
        declare("q1"),
        qos(3, global_=True),
        consume("q1", "c1"),
        publish("q1", count=10),
        qos(2),
        consume("q1", "c2"),
        qos(1, global_=True),
        publish("q1", count=2),
        ack(-1, multiple=True),
        publish("q1", count=3),
        qos(0),
        publish("q1"),
    ]


@transcript("R65")
def lowering_the_channel_prefetch() -> Sequence:
    """A lower limit takes nothing back and holds new deliveries until enough is settled."""
    return [
        declare("q1"),
        qos(5, global_=True),
        consume("q1", "c1"),
        publish("q1", count=10),
        qos(2, global_=True),
        ack(0),
        ack(0),
        ack(0),
        ack(0),
        ack(0),
        qos(3, global_=True),
    ]


@transcript("R65", "R67")
def prefetch_leaves_no_ack_and_get_alone() -> Sequence:
    """Neither no_ack consumers nor basic.get are held by a prefetch."""
    return [
        declare("q1"),
        qos(1),
        consume("q1", "c1", no_ack=True),
        publish("q1", count=4),
        cancel("c1"),
        publish("q1", count=4),
        get("q1"),
        get("q1"),
        consume("q1", "c2"),
        ack(0),
        ack(0),
        ack(0),
        qos(1, global_=True, on="a2"),
        publish("q1", count=3),
        get("q1", on="a2"),
        get("q1", on="a2"),
        consume("q1", "c3", on="a2"),
        ack(0, on="a2"),
        ack(0, on="a2"),
        ack(0, on="a2"),
        publish("q1", count=2),
    ]


@transcript("R65")
def used_up_channel_prefetch_holds_no_ack_consumers() -> Sequence:
    """They take nothing out of the channel's prefetch, but get nothing while it is used up."""
    return [
        declare("q1"),
        qos(2, global_=True),
        consume("q1", "c1", no_ack=True),
        consume("q1", "c2"),
        publish("q1", count=8),
        ack(0),
        ack(0),
        qos(5, global_=True),
        qos(0, global_=True),
    ]


@transcript("R63")
def consuming_from_no_queue_under_a_tag_in_use() -> Sequence:
    """Which queue is meant is asked before whether the tag is free."""
    return [
        declare("q1"),
        consume("q1", "c1", on="b1"),
        consume("", "c1", on="b1"),
    ]


@transcript("R64")
def cancel_keeps_what_is_out() -> Sequence:
    """After cancel-ok nothing comes any more; unsettled deliveries stay the channel's."""
    return [
        declare("q1"),
        qos(2),
        consume("q1", "c1"),
        publish("q1", count=5),
        cancel("c1"),
        ack(0),
        nack(0),
        cancel("c1"),
        cancel("c1", nowait=True),
        consume("q1", "c1"),
        ack(0),
        close_channel(),
        consume("q1", "", on="a2"),
        cancel("$c1", on="a2"),
        consume("q1", "", on="a2", nowait=True, no_ack=True),
        consume("q1", "c9", on="a3", nowait=True),
        cancel("c9", on="a3", nowait=True),
    ]


@transcript("R64", "R65")
def prefetch_of_a_tag_that_is_used_again() -> Sequence:
    """What a cancelled consumer had out does not count for the next one under its tag."""
    return [
        declare("q1"),
        qos(1),
        publish("q1", count=5),
        consume("q1", "c1"),
        cancel("c1"),
        consume("q1", "c1"),
        reject(0, requeue=False),
        ack(0),
    ]


@transcript("R65", "R71", "R66")
def channel_prefetch_is_given_back_with_a_requeue() -> Sequence:
    """Who gives a message back under a used-up channel prefetch stands in line again, behind others."""
    return [
        declare("q1"),
        qos(1, global_=True),
        consume("q1", "c1"),
        consume("q1", "c2", on="b1", no_ack=True),
        publish("q1"),
        publish("q1", count=2),
        nack(0),
        publish("q1", count=3),
    ]


@transcript("R65", "R71")
def one_answer_frees_several_consumers() -> Sequence:
    """One answer gives several consumers of a channel their credit back while messages wait."""
    return [
        declare("q1"),
        qos(2),
        consume("q1", "c2"),
        consume("q1", "c1"),
        publish("q1", count=4),
        publish("q1", count=4),
        ack(3, multiple=True),
    ]


@transcript("R69", "R71")
def consumer_priorities() -> Sequence:
    """The highest priority is served first while it has credit; equals take turns."""
    return [
        declare("q1"),
        qos(2),
        consume("q1", "low", arguments={"x-priority": -1}),
        consume("q1", "none", on="a2"),
        qos(2, on="b1"),
        consume("q1", "high", on="b1", arguments={"x-priority": 5}),
        consume("q1", "high2", on="b1", arguments={"x-priority": 5}),
        publish("q1", count=3),
        publish("q1", count=6),
        ack(0, on="b1"),
        cancel("high", on="b1"),
        cancel("high2", on="b1"),
        cancel("none", on="a2"),
        publish("q1", count=3),
        ack(0),
    ]


@transcript("R63")
def no_local_is_ignored() -> Sequence:
    return [declare("q1"), consume("q1", "c1", no_local=True), publish("q1", count=2)]


@transcript("R51")
def single_active_consumer() -> Sequence:
    """One consumer gets everything; when it goes the next takes over. basic.get is refused."""
    return [
        declare("q1", arguments={"x-single-active-consumer": True}),
        consume("q1", "c1"),
        consume("q1", "c2", on="b1"),
        publish("q1", count=3),
        get("q1", on="a2"),
        cancel("c1"),
        publish("q1"),
        nack(0),
        consume("q1", "c3", on="a2", exclusive=True),
    ]


@transcript("R71", "R66")
def requeue_with_two_consumers() -> Sequence:
    """A requeued message goes to whoever's turn it is, the same consumer included."""
    return [
        declare("q1"),
        qos(1),
        qos(1, on="b1"),
        consume("q1", "c1"),
        consume("q1", "c2", on="b1"),
        publish("q1", count=4),
        reject(0),
        reject(0),
        reject(0, on="b1"),
        ack(0),
        reject(0, on="b1"),
        ack(0, on="b1"),
        ack(0),
        ack(0, on="b1"),
    ]


@transcript("R71", "R66")
def consumer_goes_away_with_messages() -> Sequence:
    """Messages of a closed channel or lost connection go to the others at once, redelivered and in order."""
    return [
        declare("q1"),
        consume("q1", "c1"),
        publish("q1", count=4),
        consume("q1", "c2", on="b1"),
        publish("q1", count=4),
        close_channel(),
        consume("q1", "c1"),
        publish("q1", count=2),
        op("b", "disconnect"),
        ack(-1, multiple=True),
        declare("q1", passive=True, on="a2"),
    ]
