"""The generated messages are those that the generator writes now, from the release that it names."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.kafka_codec.schema import snake, versions

ROOT = Path(__file__).resolve().parents[3]


def test_what_is_checked_in_is_what_the_generator_writes() -> None:
    if shutil.which("mvn") is None:
        pytest.skip("no mvn command (on Debian: apt-get install maven)")
    ran = subprocess.run(
        [sys.executable, "-m", "scripts.kafka_codec", "--check"], cwd=ROOT, capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stderr


@pytest.mark.parametrize(
    ("text", "first", "beyond"), [("3+", 3, 1 << 15), ("0-2", 0, 3), ("4", 4, 5), ("none", 0, 0)]
)
def test_versions_are_read_from_their_text(text: str, first: int, beyond: int) -> None:
    assert versions(text) == range(first, beyond)


@pytest.mark.parametrize(
    ("name", "ours"),
    [
        ("TopicId", "topic_id"),
        ("MaxWaitMs", "max_wait_ms"),
        ("IsrNodes", "isr_nodes"),
        ("KRaftId", "k_raft_id"),
    ],
)
def test_names_become_pythons(name: str, ours: str) -> None:
    assert snake(name) == ours
