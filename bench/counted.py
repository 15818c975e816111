"""Run `pillarbox` with its function calls counted: `python -m bench.counted FILE serve ...`.

The main thread's calls go, as they happen, into FILE: two native 64-bit numbers, calls of Python functions
and calls of built-in ones, which another process reads as it likes. Slow; for counting, not for timing.
"""

from __future__ import annotations

import mmap
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType

SIZE = 16
PYTHON, BUILTIN = 0, 1


def counter(counts: memoryview) -> Callable[[FrameType, str, object], None]:
    def count(frame: FrameType, event: str, argument: object) -> None:
        if event == "call":
            counts[PYTHON] += 1
        elif event == "c_call":
            counts[BUILTIN] += 1

    return count


def main() -> int:
    path, sys.argv = Path(sys.argv[1]), ["pillarbox", *sys.argv[2:]]
    with path.open("r+b") as file:
        counts = memoryview(mmap.mmap(file.fileno(), SIZE)).cast("Q")
    from pillarbox.ops.cli import main as pillarbox

    sys.setprofile(counter(counts))
    return int(pillarbox() or 0)


if __name__ == "__main__":
    sys.exit(main())
