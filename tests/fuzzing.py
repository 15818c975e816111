"""What fuzz targets have in common: a run that coverage guides, by atheris, or that changes seeds at random.

A target is a module with `check`, which raises what shows that a promise is broken on an input, and `seeds`.
Started as a program it has the modules to be watched imported under atheris's eyes before anything else.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

Check = Callable[[bytes], None]


def changed(chance: random.Random, pool: Sequence[bytes]) -> bytes:
    """Two seeds put together and changed here and there: what stands in for the fuzzer."""
    data = bytearray(chance.choice(pool) + chance.choice(pool)[1:])
    for _ in range(chance.randrange(6)):
        place = chance.randrange(len(data))
        match chance.randrange(4):
            case 0:
                data[place] = chance.randrange(256)
            case 1:
                data[place:place] = chance.choice(pool)[1:]
            case 2:
                del data[place : place + chance.randrange(1, 9)]
            case _:
                data[place] ^= 1 << chance.randrange(8)
        data = data or bytearray(1)
    return bytes(data)


def check_changed(check: Check, pool: Sequence[bytes], runs: int, seed: int = 0) -> None:
    """Check so many inputs, the same in every run, so that a failure is there again."""
    chance = random.Random(seed)
    for _ in range(runs):
        data = changed(chance, pool)
        try:
            check(data)
        except Exception as fault:
            raise AssertionError(f"input {data!r}") from fault


def run_unguided(check: Check, seeds: Iterable[bytes], seconds: float) -> int:
    """Change seeds at random for so long; return how many inputs were tried."""
    chance = random.Random()
    pool = tuple(seeds)
    until = time.monotonic() + seconds
    count = 0
    while time.monotonic() < until:
        data = changed(chance, pool)
        try:
            check(data)
        except Exception:
            print(f"input: {data!r}", file=sys.stderr)
            raise
        count += 1
    return count


def main(what: str, atheris: Any, check: Check, seeds: Iterable[bytes], *, size_max: int) -> None:
    """Fuzz as the command line says; without atheris (None) the run is not guided."""
    parser = argparse.ArgumentParser(description=f"Fuzz {what}.")
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--runs", type=int, default=-1, help="end after so many inputs")
    parser.add_argument("--seed", type=int, default=0, help="0: another one each time")
    parser.add_argument("--corpus", type=Path, help="where inputs are kept from run to run")
    parser.add_argument("--artifacts", default="./", help="where an input that fails is written")
    options = parser.parse_args()
    if atheris is None:
        count = run_unguided(check, seeds, options.seconds)
        print(f"atheris is not installed: {count} inputs changed at random")
        return
    with tempfile.TemporaryDirectory() as temporary:
        corpus = options.corpus or Path(temporary)
        corpus.mkdir(parents=True, exist_ok=True)
        write_seeds(corpus, seeds)
        limits = [f"-max_total_time={options.seconds}", f"-runs={options.runs}", f"-seed={options.seed}"]
        limits += [f"-max_len={size_max}", "-timeout=20", "-rss_limit_mb=1024", "-print_final_stats=1"]
        atheris.Setup([sys.argv[0], str(corpus), *limits, f"-artifact_prefix={options.artifacts}"], check)
        atheris.Fuzz()


def write_seeds(folder: Path, seeds: Iterable[bytes]) -> None:
    """Fill a folder with the seeds."""
    for number, seed in enumerate(seeds):
        (folder / f"seed-{number:03}").write_bytes(seed)
