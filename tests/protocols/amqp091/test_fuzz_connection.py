"""Whole connections under input that nobody planned: the same every time, then libFuzzer's where it is."""

from __future__ import annotations

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


def test_every_seed_keeps_the_promises() -> None:
    """Sessions, each method, each beginning; see `fuzz_connection` for the promises."""
    fuzzing.check_all(fuzz_connection.check, SEEDS)


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


@fuzzing.needs_atheris
def test_connections_survive_a_bounded_run_of_libfuzzer(tmp_path: Path) -> None:
    fuzzing.run_bounded("tests.protocols.amqp091.fuzz_connection", FUZZ_RUNS, tmp_path)
