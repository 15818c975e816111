"""The codec under bytes that nobody planned: hypothesis always, libFuzzer where it is installed."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from tests import fuzzing

from . import fuzz_wire
from .strategies import damaged

SEEDS = tuple(fuzz_wire.seeds())
FUZZ_RUNS = 20_000


def test_every_seed_is_valid_and_every_decoder_has_one() -> None:
    for seed in SEEDS:
        fuzz_wire.check(seed)
    assert len({seed[0] for seed in SEEDS}) == len(fuzz_wire._CHECKS) + len(fuzz_wire._METHODS)


@settings(max_examples=500, deadline=None)
@given(damaged(st.sampled_from(SEEDS)) | st.binary(max_size=200))
def test_codec_keeps_its_promises_on_any_bytes(data: bytes) -> None:
    fuzz_wire.check(data)


def test_codec_survives_every_truncation_and_every_single_changed_byte_of_the_seeds() -> None:
    for seed in SEEDS:
        for place in range(1, len(seed)):
            fuzz_wire.check(seed[:place])
            for octet in (0, 1, 0x7F, 0x80, 0xFF, seed[place] ^ 0x20):
                fuzz_wire.check(seed[:place] + bytes((octet,)) + seed[place + 1 :])


@fuzzing.needs_atheris
def test_codec_survives_a_bounded_run_of_libfuzzer(tmp_path: Path) -> None:
    fuzzing.run_bounded("tests.protocols.amqp091.fuzz_wire", FUZZ_RUNS, tmp_path)
