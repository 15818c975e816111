"""Arguments that say where and how a queue is kept, on each type of queue: taken, refused, compared (R55)."""

from __future__ import annotations

from typing import Any

from tests.compare.operations import Operation, Sequence, declare
from tests.compare.written.registry import transcript

VALUES: dict[str, tuple[Any, ...]] = {
    "x-queue-leader-locator": ("client-local", "balanced", "nonsense", 5),
    "x-queue-master-locator": ("min-masters", "client-local", "nonsense", 5),
    "x-initial-cluster-size": (1, 3, 0, "a"),
    "x-quorum-initial-group-size": (1, 3, 0, "a"),
    "x-max-in-memory-length": (0, 5, -1, "a"),
    "x-max-in-memory-bytes": (5, -1),
    "x-queue-mode": ("lazy", "nonsense"),
    "x-queue-version": (2, 3),
    "x-member-placement-tag": ("here", 5),
    "x-consumer-timeout": (60_000, -1, "a"),
}


def _each(kind: str) -> list[Operation]:
    made: list[Operation] = []
    for key, values in VALUES.items():
        for value in values:
            arguments = {"x-queue-type": kind, key: value}
            made.append(declare(f"q{len(made)}", durable=True, arguments=arguments))
    return made


@transcript("R55", "406")
def placing_classic_queues() -> Sequence:
    """Those of other types are refused, by name."""
    return _each("classic")


@transcript("R55", "406")
def placing_quorum_queues() -> Sequence:
    """Where the replicas are does not matter on one node."""
    return _each("quorum")


@transcript("R55", "406")
def placing_streams() -> Sequence:
    """Likewise."""
    return _each("stream")


@transcript("R55", "406")
def placing_is_compared() -> Sequence:
    """A redeclaration with another value, or without."""
    steps: list[Operation] = []
    for kind, key, first, other in (
        ("classic", "x-queue-master-locator", "min-masters", "client-local"),
        ("quorum", "x-queue-leader-locator", "client-local", "balanced"),
        ("quorum", "x-quorum-initial-group-size", 1, 3),
        ("quorum", "x-max-in-memory-length", 5, 6),
        ("stream", "x-queue-leader-locator", "client-local", "balanced"),
        ("stream", "x-initial-cluster-size", 1, 3),
    ):
        name = f"q{len(steps)}"
        for value in (first, other, None):
            arguments = {"x-queue-type": kind, **({key: value} if value is not None else {})}
            steps.append(declare(name, durable=True, arguments=arguments))
    return steps
