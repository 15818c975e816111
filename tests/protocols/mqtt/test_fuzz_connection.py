"""Whole connections under input that nobody planned: the same every time, then libFuzzer's where it is."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests import fuzzing
from tests.protocols.mqtt import fuzz_connection, peer
from tests.protocols.mqtt.fuzz_connection import said
from tests.protocols.mqtt.rig import Rig, connect

SEEDS = tuple(fuzz_connection.seeds())
CHANGED_RUNS = 800
FUZZ_RUNS = 500


@pytest.mark.row("A64")
def test_every_seed_keeps_the_promises() -> None:
    """Each packet, each beginning; see `fuzz_connection` for the promises."""
    fuzzing.check_all(fuzz_connection.check, SEEDS)


@pytest.mark.row("A64")
def test_connections_keep_their_promises_on_changed_seeds() -> None:
    """The same changes in every run; the input that fails is in the message."""
    fuzzing.check_changed(fuzz_connection.check, SEEDS, CHANGED_RUNS)


@pytest.mark.row("A64")
@settings(max_examples=100, deadline=None)
@given(
    st.sampled_from((3, 4, 5)).flatmap(
        lambda version: st.tuples(st.just(version), st.lists(st.sampled_from(said(version)), max_size=12))
    ),
    st.booleans(),
    st.lists(st.integers(0, 400), max_size=8),
)
def test_any_split_gives_the_same_output_and_state(
    case: tuple[int, list[object]], clean: bool, cuts: list[int]
) -> None:
    """Where the network cuts the input does not matter."""
    version, packets = case
    data = connect(version, clean=clean) + b"".join(peer.encode(one, version) for one in packets)  # type: ignore[arg-type]
    places = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    whole = Rig()
    cut = Rig(lambda data: (data[a:b] for a, b in pairwise(places)))
    assert whole.turn(data) == cut.turn(data)
    assert whole.state() == cut.state()


@fuzzing.needs_atheris
def test_connections_survive_a_bounded_run_of_libfuzzer(tmp_path: Path) -> None:
    fuzzing.run_bounded("tests.protocols.mqtt.fuzz_connection", FUZZ_RUNS, tmp_path)
