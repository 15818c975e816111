"""Make a sequence that shows a difference as small as may be."""

from __future__ import annotations

from collections.abc import Callable

from tests.compare.operations import Sequence

RUNS_MAX = 600  # A bound on patience: what is left then is small enough to read.


def shrink(sequence: Sequence, differs: Callable[[Sequence], bool]) -> Sequence:
    """Return a part of `sequence` that still differs, from which no single operation can be left out.

    Delta debugging: leave out ever smaller chunks, from the end, as long as the rest differs.
    """
    runs = 0
    size = max(1, len(sequence) // 2)
    while size:
        start = len(sequence) - size
        removed = False
        while start > -size:
            begin = max(0, start)
            candidate = sequence[:begin] + sequence[begin + size :]
            runs += 1
            if runs > RUNS_MAX:
                return sequence
            if candidate and differs(candidate):
                sequence, removed = candidate, True
            start -= size
        if not (removed and size == 1):
            size //= 2
    return sequence
