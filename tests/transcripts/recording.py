"""Recordings: what clients saw on a peer, checked in as `recordings/*.json`, one for each file of scenarios.

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

from tests.transcripts.case import Line

Transcripts = dict[str, list[Line]]
"""By the scenario's name."""


class Recordings:
    """A folder of them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def load(self, file: str) -> tuple[str, Transcripts]:
        """Return the peer's name and what is recorded of a file: nothing, if that was never done."""
        path = self._folder / f"{file}.json"
        if not path.exists():
            return "", {}
        content = json.loads(path.read_text())
        return content["peer"], content["scenarios"]

    def ids(self) -> list[str]:
        """Return the scenarios of all that is recorded."""
        files = sorted(path.stem for path in self._folder.glob("*.json"))
        return [f"{file}.{name}" for file in files for name in self.load(file)[1]]

    def save(self, file: str, peer: str, transcripts: Transcripts) -> None:
        """Write one file's recordings."""
        parts = []
        for name, lines in transcripts.items():
            written = ",\n".join(json.dumps(line, ensure_ascii=False) for line in lines)
            parts.append(f"{json.dumps(name)}: [\n{written}\n]")
        self._folder.mkdir(exist_ok=True)
        text = f'{{"peer": {json.dumps(peer)}, "scenarios": {{\n' + ",\n".join(parts) + "\n}}\n"
        (self._folder / f"{file}.json").write_text(text)
