"""Checking a log's folder: what a crash leaves is no problem, damage to what was stored safely is one."""

from __future__ import annotations

import random

import pytest
from log_tools import Owner, batch
from test_log_compaction import COMPACT, keyed
from test_log_crash import FOLDER, OPTIONS, Run

from pillarbox.store.batch import CRC_START, read_header
from pillarbox.store.files import StoreError
from pillarbox.store.log_base import LogOptions
from pillarbox.store.log_verify import verify_log
from pillarbox.testing.faults import Image, SimulatedFiles, crash_images


def found(image: Image) -> list[str]:
    files = SimulatedFiles(image)
    problems = verify_log(files, FOLDER).problems
    assert not files.log, "nothing is changed"
    return problems


@pytest.mark.parametrize("options", OPTIONS, ids=["fsync", "flush-4", "os"])
@pytest.mark.parametrize("seed", range(3))
def test_what_a_crash_leaves_is_no_problem(seed: int, options: LogOptions) -> None:
    run = Run(seed, options)
    for _ in range(80):
        run.step()
    for _, image in crash_images(Image(), run.files.log, seed=seed, mixtures=1):
        if FOLDER in image.folders:
            assert found(image) == []


def test_a_compaction_that_a_crash_has_cut_short_is_no_problem() -> None:
    chance = random.Random(7)
    files = SimulatedFiles()
    owner = Owner(files, FOLDER, options=COMPACT)
    for n in range(40):
        owner.store(keyed((b"%d" % chance.randrange(9), b"%d" % n * 30)))
    begun = len(files.log)
    owner.log.tick(owner.now_ms)
    owner.drain()
    swapping = 0
    for done, image in crash_images(Image(), files.log, seed=7, mixtures=1):
        if done >= begun:
            assert found(image) == []
            swapping += b'"swap":[' in image.files[f"{FOLDER}/state"]
    assert swapping > 10


def stored() -> tuple[SimulatedFiles, int]:
    """A log of several segments after a clean stop, and how many records it has."""
    files = SimulatedFiles()
    options = LogOptions(segment_bytes=400, index_interval_bytes=100)
    owner = Owner(files, FOLDER, options=options)
    for n in range(20):
        owner.store(batch(b"%d" % n * 20))
    owner.close()
    return files, 20


def test_records_are_counted() -> None:
    files, count = stored()
    assert verify_log(files, FOLDER).records == count


def covered(content: bytes) -> list[int]:
    """Some of the bytes of a segment that a checksum covers."""
    positions, start = [], 0
    while start < len(content):
        size = read_header(content, start).size
        positions += range(start + CRC_START, start + size, 9)
        start += size
    return positions


def test_a_byte_that_is_not_what_it_was_is_found_wherever_it_is() -> None:
    """Also where an opening, which trusts the index of a segment that is complete, takes no notice."""
    files, _ = stored()
    image = files.image()
    unnoticed = 0
    for path in sorted(path for path in image.files if path.endswith(".log")):
        for position in covered(image.files[path]):
            content = bytearray(image.files[path])
            content[position] ^= 1
            damaged = Image(image.folders, {**image.files, path: bytes(content)})
            problems = found(damaged)
            assert len(problems) == 1
            assert path in problems[0]
            try:
                Owner(SimulatedFiles(damaged), FOLDER)
                unnoticed += 1
            except StoreError:
                pass
    assert unnoticed


@pytest.mark.parametrize("suffix", [".log", "state"])
def test_a_file_that_is_missing_is_a_problem(suffix: str) -> None:
    files, _ = stored()
    image = files.image()
    gone = sorted(path for path in image.files if path.endswith(suffix))[-2:][0]
    left = {path: data for path, data in image.files.items() if path != gone}
    assert len(found(Image(image.folders, left))) == 1
