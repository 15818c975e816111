"""What fuzz targets have in common: a run that coverage guides, by atheris, or that changes seeds at random.

A target is a module with `check`, which raises what shows that a promise is broken on an input, and `seeds`.
Started as a program it calls `watch` before it imports anything else of the broker, and `main` in the end.
Most take an input for a list of records, which they read with `Reader`, so that what the fuzzer changes makes
sense still, mostly.

Invariant: importing this module imports nothing of the broker.
"""

from __future__ import annotations

import argparse
import importlib.util
import random
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("pillarbox.protocols", "pillarbox.broker")
"""What coverage is looked at in."""
BOUNDED_TIMEOUT_S = 110

Check = Callable[[bytes], None]

has_atheris = importlib.util.find_spec("atheris") is not None


def watch(*modules: str) -> None:
    """Import modules, and those that they import, so that atheris sees which ways are taken in them.

    Without atheris nothing is done.
    """
    if has_atheris:
        import atheris

        with atheris.instrument_imports(include=list(PACKAGES)):
            for name in modules:
                import_module(name)


class Reader:
    """An input, read bit by bit; behind its end it goes on with zeros."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._position = 0

    def __bool__(self) -> bool:
        """Is there something left?"""
        return self._position < len(self._data)

    def octet(self) -> int:
        position = self._position
        self._position += 1
        return self._data[position] if position < len(self._data) else 0

    def octets(self, size_octets: int = 1) -> bytes:
        """Some octets behind a size, as far as they are there."""
        size = 0
        for _ in range(size_octets):
            size = size << 8 | self.octet()
        position = self._position
        self._position += size
        return self._data[position : position + size]


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


def check_all(check: Check, inputs: Iterable[bytes]) -> None:
    """Check each of them; one that fails is in the message."""
    for data in inputs:
        try:
            check(data)
        except Exception as fault:
            raise AssertionError(f"input {data!r}") from fault


def check_changed(check: Check, pool: Sequence[bytes], runs: int, seed: int = 0) -> None:
    """Check so many changed inputs, the same in every run, so that a failure is there again."""
    chance = random.Random(seed)
    check_all(check, (changed(chance, pool) for _ in range(runs)))


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


def main(what: str, check: Check, seeds: Iterable[bytes], *, size_max: int) -> None:
    """Fuzz as the command line says; without atheris the run is not guided."""
    parser = argparse.ArgumentParser(description=f"Fuzz {what}.")
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--runs", type=int, default=-1, help="end after so many inputs")
    parser.add_argument("--seed", type=int, default=0, help="0: another one each time")
    parser.add_argument("--corpus", type=Path, help="where inputs are kept from run to run")
    parser.add_argument("--artifacts", default="./", help="where an input that fails is written")
    options = parser.parse_args()
    if not has_atheris:
        count = run_unguided(check, seeds, options.seconds)
        print(f"atheris is not installed: {count} inputs changed at random")
        return
    import atheris

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


# --- in the suite -----------------------------------------------------------------------------------------

needs_atheris = pytest.mark.skipif(
    not has_atheris, reason="atheris is not installed; seeds changed at random have stood in for it"
)


def run_bounded(target: str, runs: int, artifacts: Path) -> None:
    """Have a target run by libFuzzer, from the same beginning each time; it has to survive.

    A few seconds are enough to notice a target that has rotted. Long runs are started by hand.
    """
    options = [f"--runs={runs}", "--seed=1", "--seconds=90", f"--artifacts={artifacts}/"]
    done = subprocess.run(
        [sys.executable, "-m", target, *options],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=BOUNDED_TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    ran = re.search(r"Done (\d+) runs", done.stderr)
    # It ends where a round of mutations does.
    assert ran is not None
    assert int(ran[1]) >= runs
