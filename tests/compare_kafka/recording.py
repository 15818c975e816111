"""Recordings: what clients saw on Apache Kafka, checked in as `recordings/*.json`, one for each file.

One line of the transcript per line of the file, so that a change of one answer shows as that:

    {"peer": "Kafka 4.2.1", "scenarios": {
    "keys_and_values": [
    ["delivered", 0, 0],
    ...
    ],
    ...
    }}
"""

from __future__ import annotations

import json
from pathlib import Path

from tests.compare_kafka.case import Line

FOLDER = Path(__file__).resolve().parent / "recordings"

Transcripts = dict[str, list[Line]]
"""By the scenario's name."""


def load(file: str) -> tuple[str, Transcripts]:
    """Return the peer's name and what is recorded of a file of scenarios: nothing, if that was never done."""
    path = FOLDER / f"{file}.json"
    if not path.exists():
        return "", {}
    content = json.loads(path.read_text())
    return content["peer"], content["scenarios"]


def save(file: str, peer: str, transcripts: Transcripts) -> None:
    """Write one file's recordings."""
    parts = []
    for name, lines in transcripts.items():
        written = ",\n".join(json.dumps(line, ensure_ascii=False) for line in lines)
        parts.append(f"{json.dumps(name)}: [\n{written}\n]")
    FOLDER.mkdir(exist_ok=True)
    text = f'{{"peer": {json.dumps(peer)}, "scenarios": {{\n' + ",\n".join(parts) + "\n}}\n"
    (FOLDER / f"{file}.json").write_text(text)
