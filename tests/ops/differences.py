"""Where our look-alikes of RabbitMQ's commands say something else, and why, by line of the scenario."""

from __future__ import annotations

from collections.abc import Iterator

_OWNER = "The API gives whoever makes a virtual host all permissions in it, as RabbitMQ's own API does."
DIFFERENT = {
    "rabbitmqctl list_permissions -p v1": _OWNER,
    "rabbitmqctl list_permissions -p v1 --formatter json": _OWNER,
    "rabbitmqctl import_definitions {definitions}": "Ours is done when it ends, theirs has begun.",
    "rabbitmq-plugins is_enabled rabbitmq_management -q": "Ours asks no node, so it names none.",
}
"""Lines whose output differs → why."""


def in_words() -> Iterator[str]:
    """The differences for docs/compatibility.md."""
    for line, why in DIFFERENT.items():
        yield f"`{line}`: {why}"
