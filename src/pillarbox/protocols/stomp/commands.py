"""What each frame of a client that has logged in does: a function and a row of `COMMANDS`.

All take the channel and the headers, and raise StompError, or BrokerError where the domain refuses. SEND is
not among them: it is the hot path, `Channel.send`.

Source: STOMP 1.2, "Client Frames"; rows A3, A5, A8, A9, R142; the words of errors are RabbitMQ's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final

from pillarbox.broker.arguments import EXCLUSIVE, SELECTOR
from pillarbox.broker.browse import BROWSE
from pillarbox.broker.ledger import Outcome
from pillarbox.broker.transaction import Transaction
from pillarbox.protocols.stomp import artemis
from pillarbox.protocols.stomp.channel import TRANSACTIONS_MAX
from pillarbox.protocols.stomp.declaring import (
    durable_name,
    for_subscribing,
    has_queue_of_its_own,
    is_there,
    queues_of,
    recover,
    subscription_name,
    tell_what_there_is,
)
from pillarbox.protocols.stomp.errors import REJECTED, StompError
from pillarbox.protocols.stomp.subscription import (
    ACK_MODES,
    AUTO,
    DIGITS_MAX,
    ID_OF_ACK,
    SEPARATOR,
    Subscription,
)
from pillarbox.protocols.stomp.transforming import TRANSFORMATION, transformer

if TYPE_CHECKING:
    from pillarbox.protocols.stomp.channel import Channel

Headers = Mapping[str, str]

PREFETCH: Final = ("prefetch-count", "activemq.prefetchSize")
PRIORITY: Final = ("x-priority", "activemq.priority")
STREAM_OFFSET: Final = "x-stream-offset"
STREAM_FILTER: Final = "x-stream-filter"
STREAM_UNFILTERED: Final = "x-stream-match-unfiltered"


class Moment(int):
    """Seconds since 1970, as arguments have them."""

    wire_type = "timestamp"


OFFSETS: Final[dict[str, Callable[[str], int]]] = {"": int, "offset": int, "timestamp": Moment}
"""What stands in front of a number that says where to begin in a stream."""

PREFETCH_OF_ACTIVEMQ: Final = 1000
"""How many deliveries ActiveMQ lets a subscription to a queue have out that does not say it."""
PREFETCH_OF_TOPICS: Final = 32_767
PREFETCH_OF_DURABLE: Final = 100
"""The same of subscriptions to topics, and of durable ones."""


def _number(headers: Headers, names: tuple[str, ...], default: int) -> int:
    """The number in the first of these headers that is there. Raises StompError."""
    for name in names:
        if name in headers:
            text = headers[name]
            if not (text.isascii() and text.removeprefix("-").isdigit()) or len(text) > 9:
                raise StompError("Invalid header", f"header '{name}' is '{text}': it must be a whole number")
            return int(text)
    return default


def tag_of(command: str, headers: Headers) -> str:
    """RabbitMQ's name of a subscription: by its id, or by its destination. Raises StompError."""
    if "id" in headers:
        return f"T_{headers['id']}"
    if "destination" in headers:
        return f"Q_{headers['destination']}"
    text = f"{command} must include a 'destination' or 'id' header"
    raise StompError("Missing destination or id", text)


def subscribe(channel: Channel, headers: Headers) -> None:
    text = headers.get("destination")
    if text is None:
        raise StompError("Missing destination", "\"SUBSCRIBE\" must include a 'destination' header")
    ack = headers.get("ack", AUTO)
    if ack not in ACK_MODES:
        raise StompError(
            "Invalid header", f"header 'ack' is '{ack}': it must be one of {', '.join(ACK_MODES)}"
        )
    tag = tag_of("SUBSCRIBE", headers)
    if tag in channel.subscriptions:
        text = f"A subscription identified by '{tag}' already exists."
        raise StompError("Duplicated subscription identifier", text)
    if channel.settings.is_artemis:
        text = artemis.destination_of(channel, text, headers, artemis.SUBSCRIPTION_TYPE)
    default = _prefetch_of_activemq(channel, text, headers) if channel.settings.is_activemq else 0
    if channel.settings.is_artemis and artemis.WINDOW in headers:
        default = artemis.prefetch_of(_number(headers, (artemis.WINDOW,), 0))
    prefetch = _number(headers, PREFETCH, default)
    if prefetch < 0 or headers.get("activemq.prefetchSize") == "0":
        raise StompError("Invalid header", "a subscription that nothing is sent to cannot be had over STOMP")
    priority = _number(headers, PRIORITY, 0)
    is_topic = has_queue_of_its_own(channel, text)
    is_new = not is_topic or not is_there(channel, text, headers)
    subscription = Subscription(tag, headers.get("id"), text, ack)
    selector = headers.get("selector")
    if selector and is_topic:
        # One that is wrong leaves no queue behind that would fill up.
        subscription.select(selector)
    matches = queues_of(channel, text, headers)
    queue = for_subscribing(channel, text, headers) if matches is None else None
    arguments = _stream_arguments(headers)
    if selector and queue is not None and channel.session.vhost.queue(queue).in_log:
        subscription.select(selector)
    elif selector and not is_topic:
        arguments[SELECTOR] = selector
    if channel.settings.is_activemq:
        asked = headers.get(TRANSFORMATION)
        subscription.have_transformed(transformer(asked, channel.core.dialects))
    if headers.get("activemq.exclusive") == "true":
        arguments[EXCLUSIVE] = True
    if headers.get("browser") == "true" and not is_topic:
        arguments[BROWSE] = subscription.browses = True
    elif queue is not None and channel.session.vhost.queue(queue).shows:
        # Acknowledgements are taken, and mean nothing.
        subscription.browses = True
    if queue is None:
        if subscription.browses:
            raise StompError("not_implemented", "one queue is browsed at a time")
        subscription.matches = matches
        channel.read_all(subscription, prefetch=prefetch, priority=priority, arguments=arguments)
        return
    channel.read(subscription, queue, prefetch=prefetch, priority=priority, arguments=arguments)
    if subscription.selector is not None:
        # For whoever lists consumers: the queue knows nothing of it.
        consumer = channel.consumers[subscription.tag]
        consumer.arguments = {**consumer.arguments, SELECTOR: selector}
    if channel.settings.is_activemq:
        recover(channel, text, queue, asks=headers.get("activemq.retroactive") == "true", is_new=is_new)
        tell_what_there_is(channel, text, queue)
    if is_topic and "true" in (headers.get("activemq.noLocal"), headers.get("no-local")):
        # A queue has other readers, who would never see it.
        channel.publishing.want_nothing_of_its_own(queue)


def _prefetch_of_activemq(channel: Channel, text: str, headers: Headers) -> int:
    """How many deliveries ActiveMQ lets a subscription have out that does not say it (A30)."""
    if not has_queue_of_its_own(channel, text):
        return PREFETCH_OF_ACTIVEMQ
    return PREFETCH_OF_TOPICS if subscription_name(headers) is None else PREFETCH_OF_DURABLE


def _stream_arguments(headers: Headers) -> dict[str, object]:
    """What of a stream is wanted: where to begin (`first`, `last`, `next`, `offset=NUMBER`, or
    `timestamp=SECONDS`), and which values of its filter (R82)."""
    found: dict[str, object] = {}
    where = headers.get(STREAM_OFFSET)
    if where is not None:
        word, _, number = where.rpartition("=")
        read = OFFSETS.get(word)
        is_number = number.isascii() and number.isdigit() and len(number) <= DIGITS_MAX
        found[STREAM_OFFSET] = read(number) if read is not None and is_number else where
    if STREAM_FILTER in headers:
        found[STREAM_FILTER] = headers[STREAM_FILTER].split(",")
    if STREAM_UNFILTERED in headers:
        found[STREAM_UNFILTERED] = headers[STREAM_UNFILTERED] == "true"
    return found


def unsubscribe(channel: Channel, headers: Headers) -> None:
    """End a subscription; one that is durable goes only where the frame says that it is one."""
    named = subscription_name(headers) is not None
    tag = "" if named and not headers.keys() & {"id", "destination"} else tag_of("UNSUBSCRIBE", headers)
    subscription = channel.subscriptions.get(tag)
    if subscription is None and named:
        name = durable_name(channel, "", headers)
        if name is not None:
            channel.session.delete_queue(name, if_unused=False, if_empty=False)
        return
    if subscription is None:
        described = f"id='{headers['id']}'" if "id" in headers else f"destination='{headers['destination']}'"
        raise StompError(
            "No subscription found",
            f"UNSUBSCRIBE must refer to an existing subscription.\nSubscription to {described} not found.",
        )
    if named or "true" in (headers.get("durable"), headers.get("persistent")):
        name = durable_name(channel, subscription.destination, headers)
        consumer = channel.consumers.get(tag)
        if (
            name is not None
            and not named
            and consumer is not None
            and has_queue_of_its_own(channel, subscription.destination)
        ):
            # It may have been given a name of its own (`x-queue-name`).
            name = consumer.queue.name
        if name is not None:
            # Asked before the subscription has ended, since it may have to be asked again.
            channel.session.demand_deletable(name)
        channel.cancel(subscription)
        if name is not None:
            channel.session.delete_queue(name, if_unused=False, if_empty=False)
    else:
        channel.cancel(subscription)


def ack(channel: Channel, headers: Headers) -> None:
    _answer(channel, "ACK", headers, Outcome.ACCEPTED)


def nack(channel: Channel, headers: Headers) -> None:
    """RabbitMQ puts the message back unless `requeue` is false; ActiveMQ has it die, Artemis forgets it."""
    if channel.settings.is_artemis and "requeue" not in headers:
        _answer(channel, "NACK", headers, Outcome.ACCEPTED)
        return
    default = "false" if channel.settings.is_activemq else "true"
    requeue = headers.get("requeue", default) == "true"
    _answer(channel, "NACK", headers, Outcome.RELEASED if requeue else Outcome.REJECTED)


def _answer(channel: Channel, command: str, headers: Headers, outcome: Outcome) -> None:
    name = ID_OF_ACK[channel.connection.version]
    text = headers.get(name)
    if text is None:
        raise StompError("Missing header", f'"{command}" must include the "{name}" header')
    tag, _, rest = text.rpartition(f"{SEPARATOR}{channel.connection.session_name}{SEPARATOR}")
    if not tag or not (rest.isascii() and rest.isdigit()) or len(rest) > DIGITS_MAX:
        raise StompError("Invalid header", f'"{command}" must include a valid "{name}" header')
    channel.settle(channel.subscriptions.get(tag), int(rest), outcome, headers.get("transaction"))


def _transaction_of(command: str, headers: Headers) -> str:
    name = headers.get("transaction")
    if name is None:
        raise StompError("Missing transaction", f"\"{command}\" must include a 'transaction' header")
    return name


def begin(channel: Channel, headers: Headers) -> None:
    name = _transaction_of("BEGIN", headers)
    if name in channel.publishing.transactions:
        raise StompError("Bad transaction", f"transaction '{name}' has begun already")
    if len(channel.publishing.transactions) >= TRANSACTIONS_MAX:
        raise StompError("Bad transaction", f"more than {TRANSACTIONS_MAX} transactions are open")
    channel.publishing.transactions[name] = Transaction(channel.core, channel.session.vhost)


def commit(channel: Channel, headers: Headers) -> None:
    if not channel.publishing.commit(_transaction_of("COMMIT", headers)):
        raise StompError(REJECTED, "a queue that is full has refused some of the transaction")


def abort(channel: Channel, headers: Headers) -> None:
    channel.publishing.abort(_transaction_of("ABORT", headers))


COMMANDS: Final[dict[str, Callable[[Channel, Headers], None]]] = {
    "SUBSCRIBE": subscribe,
    "UNSUBSCRIBE": unsubscribe,
    "ACK": ack,
    "NACK": nack,
    "BEGIN": begin,
    "COMMIT": commit,
    "ABORT": abort,
}
