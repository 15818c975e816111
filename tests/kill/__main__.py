"""Kill a broker under load many times: `python -m tests.kill --rounds 200 --seed 7`.

Every twenty rounds begin with a fresh folder. A fifth of the rounds, in addition, end with an orderly stop.
Prints one line per folder and the sums; exit code 1 with the first promise that was not kept.
"""

from __future__ import annotations

import argparse
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from .rounds import Wrong, run

ROUNDS_PER_FOLDER = 20
STOP_EVERY = 5


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.kill", description=__doc__)
    parser.add_argument("--rounds", type=int, default=200, help="how often to kill (default %(default)s)")
    parser.add_argument("--seed", type=int, default=None, help="repeat a run; the default is another one")
    parser.add_argument("--keep", action="store_true", help="leave the folder of a failure where it is")
    arguments = parser.parse_args()
    seed = arguments.seed if arguments.seed is not None else random.randrange(1 << 31)
    print(f"seed {seed}", flush=True)
    total: Counter[str] = Counter()
    left, started = arguments.rounds, time.monotonic()
    while left > 0:
        kills = min(left, ROUNDS_PER_FOLDER)
        left -= kills
        plan: list[str] = []
        for number in range(1, kills + 1):
            plan += ["kill", "stop"] if number % STOP_EVERY == 0 else ["kill"]
        path = Path(tempfile.mkdtemp(prefix="pillarbox-kill-"))
        try:
            counts = run(path, seed, plan)
        except Wrong as error:
            print(error, file=sys.stderr)
            if arguments.keep:
                print(f"the folder is {path}", file=sys.stderr)
            else:
                shutil.rmtree(path)
            return 1
        shutil.rmtree(path)
        print(f"seed {seed}: {line(counts)}", flush=True)
        total += counts
        seed += 1
    print(f"in {time.monotonic() - started:.0f} s, all as promised: {line(total)}")
    return 0


def line(counts: Counter[str]) -> str:
    start_ms = counts["start_ms"] // max(1, counts["starts"])
    shown = [f"{count:,} {name}" for name, count in counts.items() if name not in ("start_ms", "starts")]
    return f"{', '.join(shown)}, a start takes {start_ms} ms"


if __name__ == "__main__":
    sys.exit(main())
