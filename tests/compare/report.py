"""Two runs of a sequence side by side, in words."""

from __future__ import annotations

import json
from typing import Any

from tests.compare.operations import Operation
from tests.compare.recording import Recording, Step

SHOWN_MAX = 6  # Differing steps shown; one difference often causes the next.


def differing(left: list[Step], right: list[Step]) -> list[int]:
    """Return the numbers of all steps that differ, a missing step included."""
    size = max(len(left), len(right))
    padded = [[*steps, *[{}] * (size - len(steps))] for steps in (left, right)]
    numbers = [number for number in range(size) if padded[0][number] != padded[1][number]]
    return numbers if len(left) == len(right) or numbers else [min(len(left), len(right))]


def first_difference(left: list[Step], right: list[Step]) -> int | None:
    """Return the number of the first step that differs, or None."""
    return next(iter(differing(left, right)), None)


def shown(operation: Operation) -> str:
    """Return an operation for reading: long bytes cut."""
    text = str(operation)
    return text if len(text) < 300 else f"{text[:300]}..."


def report(recording: Recording, expected: list[Step], got: list[Step], name: str) -> str:
    """Return the operations up to the last shown difference and, at each one, both answers."""
    numbers = differing(expected, got)[:SHOWN_MAX]
    lines = [f"--- {recording.name}: {len(differing(expected, got))} steps differ"]
    for number, operation in enumerate(recording.operations[: numbers[-1] + 1]):
        lines.append(f"    {number:2} {shown(operation)}")
        if number in numbers:
            for who, steps in ((recording.peer or "expected", expected), (name, got)):
                answer: Any = steps[number] if number < len(steps) else "nothing"
                lines.append(f"     {who}: {json.dumps(answer, ensure_ascii=False)}")
    return "\n".join(lines)
