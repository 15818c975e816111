"""Whole connections under input that nobody planned: the same every time, then libFuzzer's where it is."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import tracemalloc
from pathlib import Path

import pytest

from pillarbox.protocols.amqp091 import methods as m
from pillarbox.protocols.amqp091 import wire
from pillarbox.protocols.amqp091.handshake import Settings
from tests import fuzzing

from . import fuzz_connection
from .rig import Rig

SEEDS = tuple(fuzz_connection.seeds())
CHANGED_RUNS = 1500
FUZZ_RUNS = 1000
"""A few seconds each: enough to notice a target that has rotted. Long runs are started by hand."""
ROOT = Path(__file__).parents[3]


def test_every_seed_keeps_the_promises() -> None:
    """Sessions, each method, each beginning; see `fuzz_connection` for the promises."""
    for seed in SEEDS:
        fuzz_connection.check(seed)


def test_connections_keep_their_promises_on_changed_seeds() -> None:
    """The same changes in every run, so that a failure is there again; its input is in the message."""
    fuzzing.check_changed(fuzz_connection.check, SEEDS, CHANGED_RUNS)


@pytest.mark.parametrize("size", [20_000, 1 << 31, (1 << 64) - 1])
def test_announced_sizes_cost_no_memory(size: int) -> None:
    """4.2.6: what a content header says is believed only when the body comes."""
    rig = Rig(settings=Settings(message_size_max=1 << 64)).log_in()
    rig.send(1, m.CHANNEL_OPEN, "")
    rig.send(1, m.BASIC_PUBLISH, 0, "", "a", False, False)
    tracemalloc.start()
    try:
        rig.connection.receive(wire.header_frame(1, size, b"\x00\x00") + b"\x03\x00\x01\x00\x01\xff\xf0x")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert rig.connection.channels[1].body_missing in (size, size - 1)
    assert peak < 20_000


@pytest.mark.skipif(
    importlib.util.find_spec("atheris") is None,
    reason="atheris is not installed; seeds changed at random have stood in for it above",
)
def test_connections_survive_a_bounded_run_of_libfuzzer(tmp_path: Path) -> None:
    options = [f"--runs={FUZZ_RUNS}", "--seed=1", "--seconds=90", f"--artifacts={tmp_path}/"]
    command = [sys.executable, "-m", "tests.protocols.amqp091.fuzz_connection", *options]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=110, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    assert f"Done {FUZZ_RUNS} runs" in done.stderr
