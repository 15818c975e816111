"""The codec under bytes that nobody planned: hypothesis always, libFuzzer where it is installed."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from . import fuzz_wire
from .strategies import damaged

SEEDS = tuple(fuzz_wire.seeds())
FUZZ_RUNS = 20_000
"""A few seconds: enough to notice a target that has rotted. Long runs are started by hand."""


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


@pytest.mark.skipif(
    importlib.util.find_spec("atheris") is None,
    reason="atheris is not installed; hypothesis has stood in for it above",
)
def test_codec_survives_a_bounded_run_of_libfuzzer(tmp_path: Path) -> None:
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    fuzz_wire.write_seeds(corpus)
    options = [
        f"-runs={FUZZ_RUNS}",
        "-seed=1",
        "-max_len=1024",
        "-timeout=10",
        f"-artifact_prefix={tmp_path}/",
    ]
    command = [sys.executable, fuzz_wire.__file__, str(corpus), *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=110, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    assert f"Done {FUZZ_RUNS} runs" in done.stderr
