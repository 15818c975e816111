"""Recordings: sequences with what RabbitMQ answered, checked in as `recordings/*.json`.

One file per group of hand-written transcripts and per theme of generated ones; one sequence per line, so
that a new recording shows as a small change:

    {"peer": "RabbitMQ 3.10.8", "seed": 1, "sequences": [
    {"name": ..., "rows": [...], "operations": [...], "steps": [...]},
    ...
    ]}
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.compare.operations import Operation, Sequence

FOLDER = Path(__file__).resolve().parent / "recordings"

Step = dict[str, Any]


@dataclass(frozen=True)
class Recording:
    """One sequence and the answers of a peer."""

    name: str
    rows: tuple[str, ...]
    operations: Sequence
    steps: list[Step]
    peer: str = ""

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "rows": list(self.rows),
            "operations": [operation.to_json() for operation in self.operations],
            "steps": self.steps,
        }


def save(group: str, peer: str, recordings: list[Recording], *, seed: int | None = None) -> None:
    """Write one group's file."""
    head = {"peer": peer} if seed is None else {"peer": peer, "seed": seed}
    lines = [
        json.dumps(recording.to_json(), separators=(",", ":"), ensure_ascii=False) for recording in recordings
    ]
    text = json.dumps(head)[:-1] + ', "sequences": [\n' + ",\n".join(lines) + "\n]}\n"
    FOLDER.mkdir(exist_ok=True)
    (FOLDER / f"{group}.json").write_text(text)


def load(file: Path) -> Iterator[Recording]:
    """Yield the recordings of one file."""
    content = json.loads(file.read_text())
    for each in content["sequences"]:
        operations = [Operation.from_json(value) for value in each["operations"]]
        yield Recording(each["name"], tuple(each["rows"]), operations, each["steps"], content["peer"])


def load_all() -> Iterator[Recording]:
    """Yield all recordings, by file and place in it."""
    for file in sorted(FOLDER.glob("*.json")):
        yield from load(file)
