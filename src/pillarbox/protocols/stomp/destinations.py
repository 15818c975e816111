"""Destinations: what the names in `destination` and `reply-to` stand for, and how messages tell theirs.

RabbitMQ's: `/queue/NAME`, `/topic/KEY` (on the exchange `amq.topic`), `/exchange/NAME[/KEY]`,
`/amq/queue/NAME` (never declared), `/temp-queue/NAME`, `/reply-queue/NAME`; a `/` within a name is `%2F`.
ActiveMQ's: `queue://NAME`, `topic://NAME`, `temp-queue://NAME`, `temp-topic://NAME`, and the same with
slashes as above; names may have slashes in them, and any other name is a queue, in RabbitMQ one without a
slash. On topics `*` stands for one word in both, `#` for any number of words in RabbitMQ, and `>` as last
word for the same in ActiveMQ.

Source: rows A2, A24, R142; RabbitMQ's "STOMP Plugin: Destinations".
"""

from __future__ import annotations

from typing import Final, NamedTuple
from urllib.parse import quote, unquote

from pillarbox.broker import exchange as exchanges
from pillarbox.broker import jms_destinations
from pillarbox.broker.schedule_header import SCHEDULED_ANYCAST, SCHEDULED_QUEUES, SCHEDULED_TOPICS
from pillarbox.protocols.stomp.errors import StompError

QUEUE, TOPIC, EXCHANGE, AMQ_QUEUE = "queue", "topic", "exchange", "amq/queue"
TEMP_QUEUE, TEMP_TOPIC, REPLY_QUEUE = "temp-queue", "temp-topic", "reply-queue"

TOPICS: Final = exchanges.TOPICS
ADVISORIES: Final = jms_destinations.ADVISORIES
"""The exchange of ActiveMQ's own topics."""

VIRTUAL_CONSUMER: Final = jms_destinations.VIRTUAL_CONSUMER
"""How the names of queues of virtual topics begin."""

KINDS: Final = (QUEUE, TOPIC, EXCHANGE, AMQ_QUEUE, TEMP_QUEUE, TEMP_TOPIC, REPLY_QUEUE)
SCHEMES: Final = (QUEUE, TOPIC, TEMP_QUEUE, TEMP_TOPIC)
"""Kinds that ActiveMQ writes as `kind://name`."""

OF_QUEUES: Final = ("", exchanges.ANYCAST, SCHEDULED_QUEUES, SCHEDULED_ANYCAST)
"""Exchanges by which messages come to queues, each to the one that its key names."""

SAFE: Final = "".join(map(chr, range(32, 127))).replace("/", "").replace("%", "")
"""Characters that stand for themselves in a destination that a message tells."""


class Destination(NamedTuple):
    """What a name stands for."""

    kind: str
    exchange: str
    """Where messages to it are published."""
    key: str
    """With which routing key, or pattern for a subscription; of a queue its name."""


def parse(text: str, *, slashes: bool) -> Destination:
    """The meaning of a destination; `slashes`: names may have some, as with ActiveMQ. Raises StompError."""
    kind, scheme, name = text.partition("://")
    if scheme and kind in SCHEMES:
        return _destination(kind, without_options(name) if slashes else name, text)
    for kind in KINDS:
        if text.startswith(f"/{kind}/"):
            break
    else:
        if slashes:
            return _destination(QUEUE, without_options(text), text)
        if text and "/" not in text:
            return Destination(QUEUE, "", unquote(text))
        known = ", ".join(f"/{kind}" for kind in KINDS)
        raise StompError(
            "Unknown destination",
            f"'{text}' is not a valid destination.\nValid destination types are: {known}.",
        )
    name = text[len(kind) + 2 :]
    if kind == EXCHANGE:
        exchange, _, key = name.partition("/")
        if not exchange or "/" in key:
            raise _invalid(kind, name)
        return Destination(EXCHANGE, unquote(exchange), unquote(key))
    if kind in SCHEMES and slashes:
        name = without_options(name)
    elif kind != REPLY_QUEUE and not slashes:
        if "/" in name:
            raise _invalid(kind, name)
        name = unquote(name)
    return _destination(kind, name, text)


def without_options(name: str) -> str:
    """The name without what ActiveMQ's own clients read behind it (`?consumer.prefetchSize=1`)."""
    return name.partition("?")[0]


def _destination(kind: str, name: str, text: str) -> Destination:
    if not name:
        raise _invalid(kind, text)
    if kind in (TOPIC, TEMP_TOPIC):
        return Destination(kind, TOPICS, pattern(name))
    return Destination(kind, "", name)


def _invalid(kind: str, content: str) -> StompError:
    return StompError("Invalid destination", f"'{content}' is not a valid {kind} destination")


def pattern(name: str) -> str:
    """The topic pattern of AMQP for one of STOMP or JMS."""
    while name == ">.>" or name.endswith(".>.>"):
        name = name[:-2]
    return f"{name[:-1]}#" if name == ">" or name.endswith(".>") else name


def is_pattern(name: str) -> bool:
    """Does the name of a queue stand for several, as with ActiveMQ?"""
    words = name.split(".")
    return "*" in words or words[-1] == ">"


def queue_or_topic(text: str) -> Destination | None:
    """A queue or topic in ActiveMQ's words; None: it is something else, or nothing."""
    try:
        found = parse(text, slashes=True)
    except StompError:
        return None
    return found if found.kind in (TOPIC, QUEUE) else None


def shown(exchange: str, key: str, *, slashes: bool = False) -> str:
    """The destination that a message tells which was published so; `slashes`: as for `parse`."""
    name = key if slashes else quote(key, safe=SAFE)
    if exchange in OF_QUEUES:
        return f"/queue/{name}"
    if exchange in (TOPICS, SCHEDULED_TOPICS, ADVISORIES):
        return f"/topic/{name}"
    found = f"/exchange/{quote(exchange, safe=SAFE)}"
    return f"{found}/{quote(key, safe=SAFE)}" if key else found
