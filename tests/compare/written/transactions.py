"""Transactions: what waits for tx.commit, what does not, and what a rollback brings back."""

from __future__ import annotations

from tests.compare.client import content_frames, method_frame
from tests.compare.normalise import REPLY_TO
from tests.compare.operations import (
    Operation,
    Sequence,
    ack,
    ack_tag,
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
from tests.compare.written.registry import properties, transcript

SELECT, COMMIT, ROLLBACK = op("a1", "tx.select"), op("a1", "tx.commit"), op("a1", "tx.rollback")
PERSISTENT = properties(delivery_mode=2)


@transcript("R62")
def transaction_of_stored_messages() -> Sequence:
    """Persistent and transient messages to durable and other queues, in the order of publishing."""
    return [
        declare("q1", durable=True),
        declare("q2"),
        SELECT,
        publish("q1", properties=PERSISTENT),
        publish("q2", properties=PERSISTENT, count=2),
        publish("q1", count=2),
        publish("q1", properties=PERSISTENT),
        COMMIT,
        *(get("q1", no_ack=True) for _ in range(4)),
        *(get("q2", no_ack=True) for _ in range(2)),
        COMMIT,
        SELECT,
        publish("q1"),
        SELECT,
        COMMIT,
    ]


@transcript("R62", "R66")
def answers_in_a_transaction() -> Sequence:
    """Acks, nacks and rejects, single and multiple, wait for the commit; what is requeued keeps its order."""
    return [
        declare("q1", durable=True),
        publish("q1", on="a2", properties=PERSISTENT, count=7),
        SELECT,
        *(get("q1") for _ in range(7)),
        reject(2),
        nack(0, requeue=False),
        reject(3),
        ack(0, multiple=True),
        nack(0),
        get("q1", on="a2"),
        COMMIT,
        *(get("q1", on="a2") for _ in range(4)),
        nack(0, on="a2", multiple=True),
        op("a1", "basic.nack", delivery_tag=0, multiple=True, requeue=True),
        COMMIT,
        get("q1", no_ack=True),
    ]


@transcript("R62", "R66", "406")
def answer_twice_in_a_transaction() -> Sequence:
    """A tag that is answered is unknown, before the commit as well; the end of the channel is a rollback."""
    return [
        declare("q1"),
        publish("q1", count=3),
        SELECT,
        *(get("q1") for _ in range(3)),
        ack(1),
        publish("q1"),
        ack_tag(2),
        get("q1", on="a2"),
        SELECT,
        get("q1"),
        get("q1"),
        ack_tag(2),
        op("a1", "basic.ack", delivery_tag=2, multiple=True),
        SELECT,
        get("q1"),
        op("a1", "basic.ack", delivery_tag=0, multiple=True),
        op("a1", "basic.ack", delivery_tag=0, multiple=True),
        COMMIT,
        ack_tag(77),
    ]


@transcript("R62")
def rollback_and_what_follows() -> Sequence:
    """What was answered is unanswered again, redelivered by nobody; publishes are gone."""
    return [
        declare("q1"),
        publish("q1", on="a2", count=4),
        SELECT,
        *(get("q1") for _ in range(4)),
        ack(2),
        nack(0),
        publish("q1"),
        publish("nobody", mandatory=True),
        ROLLBACK,
        COMMIT,
        get("q1", on="a2"),
        op("a1", "basic.ack", delivery_tag=2, multiple=True),
        ROLLBACK,
        reject(1),
        ack(0),
        COMMIT,
        get("q1", on="a2"),
        close_channel("a1"),
    ]


@transcript("R62", "R65")
def prefetch_in_a_transaction() -> Sequence:
    """An answer gives its credit back at the commit."""
    return [
        declare("q1"),
        qos(2),
        SELECT,
        consume("q1", "c1"),
        publish("q1", on="a2", count=7),
        ack(0),
        ROLLBACK,
        ack(1),
        reject(0),
        COMMIT,
        ack(0, multiple=True),
        op("a1", "basic.recover", requeue=True),
        COMMIT,
        op("a", "disconnect"),
    ]


@transcript("R62")
def consumers_and_a_commit() -> Sequence:
    """What a commit brings goes to consumers that wait before what it gives back."""
    return [
        declare("q1"),
        SELECT,
        consume("q1", "c1"),
        publish("q1", on="a2"),
        publish("q1", count=2),
        nack(0),
        COMMIT,
        publish("q1", on="a2", count=2),
        op("a1", "basic.nack", delivery_tag=0, multiple=True, requeue=True),
        op("a1", "basic.recover", requeue=True),
        ROLLBACK,
        COMMIT,
    ]


@transcript("R62", "404", "406")
def errors_in_a_transaction() -> Sequence:
    """A channel that is closed over an error forgets its transaction, and that it had one."""
    return [
        declare("q1"),
        SELECT,
        publish("q1"),
        publish("q1", "none"),
        op("a1", "tx.commit"),
        SELECT,
        publish("q1"),
        publish("q1", properties=properties(expiration="x")),
        SELECT,
        publish("q1"),
        get("none"),
        op("a1", "tx.rollback"),
        get("q1"),
    ]


@transcript("R62", "R27")
def returns_at_the_commit() -> Sequence:
    """Unroutable mandatory messages come back with the commit, in the order of publishing."""
    return [
        declare("q1"),
        SELECT,
        publish("nobody", mandatory=True, properties=PERSISTENT),
        publish("q1", mandatory=True),
        publish("nobody"),
        publish("no-one", "amq.direct", mandatory=True, count=2),
        COMMIT,
        COMMIT,
        publish("nobody", mandatory=True),
        ROLLBACK,
        COMMIT,
    ]


@transcript("R62", "R44")
def time_to_live_in_a_transaction() -> Sequence:
    """A time to live counts from the commit."""
    return [
        declare("q1", arguments={"x-message-ttl": 0}),
        declare("q2"),
        SELECT,
        publish("q1"),
        publish("q2", properties=properties(expiration="0")),
        COMMIT,
        consume("q1", "c1", on="a2"),
        publish("q1", count=2),
        COMMIT,
    ]


@transcript("R62", "R50")
def priorities_in_a_transaction() -> Sequence:
    return [
        declare("q1", arguments={"x-max-priority": 3}),
        SELECT,
        *(publish("q1", properties=properties(priority=level)) for level in (1, 3, 0, 2, 3)),
        COMMIT,
        *(get("q1") for _ in range(5)),
        nack(0),
        reject(3),
        COMMIT,
        get("q1"),
        get("q1"),
    ]


@transcript("R62", "R26")
def selected_keys_in_a_transaction() -> Sequence:
    return [
        declare("q1"),
        declare("q2"),
        SELECT,
        publish("q1", properties=properties(headers={"CC": ["q2"]})),
        publish("nobody", properties=properties(headers={"BCC": ["q2"]}), mandatory=True),
        publish("nobody", properties=properties(headers={"CC": ["none"]}), mandatory=True),
        COMMIT,
        get("q2", no_ack=True),
        get("q2", no_ack=True),
    ]


@transcript("R62", "R70")
def direct_reply_in_a_transaction() -> Sequence:
    """A request waits for the commit; so does a reply."""
    return [
        declare("q1"),
        consume(REPLY_TO, "r", no_ack=True),
        SELECT,
        publish("q1", properties=properties(reply_to=REPLY_TO)),
        COMMIT,
        get("q1", on="b1", no_ack=True),
        op("b1", "tx.select"),
        publish("$r1", on="b1", mandatory=True),
        op("b1", "tx.commit"),
    ]


COMMIT_FRAME = method_frame(1, "tx.commit")
PUBLISH_FRAMES = method_frame(1, "basic.publish", exchange="", routing_key="q1") + content_frames(
    1, b"\0\0", b"x", 131072
)
QOS_FRAME = method_frame(1, "basic.qos", prefetch_count=1)
CLOSE_FRAME = method_frame(1, "channel.close", reply_code=200, reply_text="", class_id=0, method_id=0)


def at_once(*frames: bytes, expect: tuple[int, str]) -> Operation:
    """Send frames without waiting for answers in between."""
    return op("a", "raw", data=b"".join(frames).hex(), expect=list(expect))


@transcript("R62", "504")
def command_during_a_commit() -> Sequence:
    """A commit that brings messages to queues must be answered before anything else is sent: 504."""
    return [
        declare("q1", durable=True),
        SELECT,
        publish("q1", properties=PERSISTENT),
        at_once(COMMIT_FRAME, QOS_FRAME, expect=(0, "connection.close")),
        SELECT,
        publish("q1", count=2),
        at_once(COMMIT_FRAME, PUBLISH_FRAMES, COMMIT_FRAME, expect=(0, "connection.close")),
        get("q1", no_ack=True),
    ]


@transcript("R62")
def close_during_a_commit() -> Sequence:
    """The end of the channel may follow at once: what was committed is, and commit-ok is not sent."""
    return [
        declare("q1", durable=True),
        SELECT,
        publish("q1", properties=PERSISTENT),
        at_once(COMMIT_FRAME, CLOSE_FRAME, expect=(1, "channel.close-ok")),
        get("q1", no_ack=True),
    ]


@transcript("R62")
def commands_after_a_commit_of_answers() -> Sequence:
    """A commit that brings nothing to queues is answered at once."""
    return [
        declare("q1", durable=True),
        publish("q1", properties=PERSISTENT, count=3),
        SELECT,
        at_once(COMMIT_FRAME, QOS_FRAME, expect=(1, "basic.qos-ok")),
        get("q1"),
        ack(0),
        at_once(COMMIT_FRAME, QOS_FRAME, expect=(1, "basic.qos-ok")),
        publish("nobody", mandatory=True),
        at_once(COMMIT_FRAME, PUBLISH_FRAMES, COMMIT_FRAME, expect=(1, "tx.commit-ok")),
    ]


LETTERS = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "dead"}


@transcript("R62", "R47", "406")
def messages_refused_by_a_commit() -> Sequence:
    """A full queue refuses at the commit; the rest takes effect, answers too, and the channel is closed."""
    full = {"x-max-length": 1, "x-overflow": "reject-publish"}
    return [
        declare("full", durable=True, arguments=full),
        declare("q1", durable=True),
        publish("q1", on="a2", properties=PERSISTENT),
        SELECT,
        get("q1"),
        publish("full", count=2),
        publish("q1", properties=PERSISTENT, count=2),
        ack(0),
        COMMIT,
        get("q1", on="a2", no_ack=True),
        get("q1", on="a2", no_ack=True),
        get("full", on="a2", no_ack=True),
        get("full", on="a2", no_ack=True),
    ]


@transcript("R62", "R47", "R48", "406")
def messages_refused_by_a_commit_die() -> Sequence:
    """With reject-publish-dlx what was refused is a dead letter as well; a rollback refuses nothing."""
    full = {**LETTERS, "x-max-length": 1, "x-overflow": "reject-publish-dlx"}
    return [
        declare("dead", durable=True),
        declare("full", durable=True, arguments=full),
        SELECT,
        publish("full", count=2),
        ROLLBACK,
        publish("full", count=2),
        COMMIT,
        get("dead", on="a2", no_ack=True),
    ]


@transcript("R62", "R46", "R48")
def messages_dropped_by_a_commit() -> Sequence:
    """What a commit brings pushes out what is older, and what it requeues counts again."""
    return [
        declare("dead", durable=True),
        declare("q1", durable=True, arguments={**LETTERS, "x-max-length": 2}),
        publish("q1", on="a2", count=2),
        SELECT,
        get("q1"),
        publish("q1", count=2),
        nack(0),
        COMMIT,
        *(get("q1", on="a2", no_ack=True) for _ in range(2)),
        *(get("dead", on="a2", no_ack=True) for _ in range(2)),
    ]


@transcript("R62", "R48")
def rejections_in_a_transaction() -> Sequence:
    """What is rejected dies at the commit, in the order of the commit, and not at a rollback."""
    return [
        declare("dead", durable=True),
        declare("q1", durable=True, arguments=LETTERS),
        publish("q1", on="a2", properties=PERSISTENT, count=4),
        SELECT,
        *(get("q1") for _ in range(4)),
        reject(0, requeue=False),
        ROLLBACK,
        reject(2, requeue=False),
        nack(0, requeue=False),
        get("dead", on="a2", no_ack=True),
        COMMIT,
        *(get("dead", on="a2", no_ack=True) for _ in range(3)),
    ]


@transcript("R62", "R44", "R48")
def expiry_in_a_transaction() -> Sequence:
    """A message whose time is over dies when it is committed, before the commit requeues older ones."""
    return [
        declare("dead", durable=True),
        declare("q1", durable=True, arguments=LETTERS),
        SELECT,
        publish("q1", properties=properties(expiration="0")),
        publish("q1"),
        get("dead", on="a2", no_ack=True),
        COMMIT,
        get("dead", on="a2", no_ack=True),
        get("q1"),
        publish("q1", properties=properties(expiration="0")),
        nack(0),
        COMMIT,
        get("dead", on="a2", no_ack=True),
        get("q1", on="a2", no_ack=True),
    ]


@transcript("R62", "R27")
def queues_deleted_before_the_commit() -> Sequence:
    """A mandatory message whose queue is gone comes back, others are lost; what was out of it is, too."""
    return [
        declare("q1", durable=True),
        declare("q2"),
        SELECT,
        publish("q1", on="a2", count=2),
        get("q1"),
        ack(0),
        publish("q1", mandatory=True, properties=PERSISTENT),
        publish("q1"),
        publish("q2", mandatory=True),
        publish("nobody", mandatory=True),
        op("a2", "queue.delete", queue="q1"),
        COMMIT,
        declare("q1", on="a2"),
        get("q1", on="a2"),
        get("q2", on="a2"),
    ]


@transcript("R62")
def queue_declared_again_before_the_commit() -> Sequence:
    """It is its name that a message goes to; an answer to what was out of the former one means nothing."""
    return [
        declare("q1"),
        SELECT,
        publish("q1", on="a2"),
        get("q1"),
        nack(0),
        publish("q1", mandatory=True),
        op("a2", "queue.delete", queue="q1"),
        declare("q1", on="a2", durable=True),
        COMMIT,
        get("q1", on="a2", no_ack=True),
        get("q1", on="a2", no_ack=True),
    ]
