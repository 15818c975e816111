"""Where Pillarbox judges the parameter of a shovel otherwise than RabbitMQ, by the name of the value."""

from __future__ import annotations

from collections.abc import Iterator

DIFFERENT: dict[str, str] = {
    "a text": "RabbitMQ answers 500",
    "a number": "RabbitMQ answers 500",
    "arguments are a number": "RabbitMQ answers 500",
    "protocol unknown": "RabbitMQ answers 500",
    "URI with a bad port": "RabbitMQ shows where in its own code that was found",
    "URI with a bad heartbeat": "RabbitMQ shows the query, which may have a password in it",
    "queue without a name": "RabbitMQ takes it, and makes a queue of a random name at each attempt",
    "URIs, none": "RabbitMQ takes it, and its shovel never comes up",
    "protocol 1.0": "there is none here, and 3.10 does not know this key without it",
    "key of a later release": "RabbitMQ 3.10 does not know it",
}


def in_words() -> Iterator[str]:
    """The differences for docs/compatibility.md."""
    for name, why in DIFFERENT.items():
        yield f"{name}: {why}."
