"""What real brokers answer to ApiVersions: their keys with the versions, and their features (T8).

python -m tests.compare_kafka.tables     ask each release that Maven has, and write the files here
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.protocols.kafka.asking import Asking

HERE = Path(__file__).resolve().parent
RELEASES = {"kafka:3.9": "3.9.1", "kafka:4.2": "4.2.1"}
"""Which release each profile stands in for."""


def told(bootstrap: str) -> dict[str, Any]:
    """The table of a broker that runs."""
    with Asking(bootstrap) as client:
        answer = client.ask("ApiVersions", 4, client_software_name="tables", client_software_version="1")
    return {
        "keys": {
            str(one.api_key): [one.min_version, one.max_version]
            for one in sorted(answer.api_keys, key=lambda one: one.api_key)
        },
        "supported": {
            one.name: [one.min_version, one.max_version]
            for one in sorted(answer.supported_features, key=lambda one: one.name)
        },
        "finalized": {
            one.name: one.max_version_level
            for one in sorted(answer.finalized_features, key=lambda one: one.name)
        },
    }


def load(profile: str) -> dict[str, Any]:
    """The recorded table of the release that a profile stands in for."""
    found: dict[str, Any] = json.loads((HERE / f"{RELEASES[profile]}.json").read_text())
    return found


def save(release: str, table: dict[str, Any]) -> None:
    """Write a release's table, a row on each line."""
    parts = []
    for part, rows in table.items():
        lines = [f"    {json.dumps(name)}: {json.dumps(value)}" for name, value in rows.items()]
        parts.append(f"  {json.dumps(part)}: {{\n" + ",\n".join(lines) + "\n  }")
    (HERE / f"{release}.json").write_text("{\n" + ",\n".join(parts) + "\n}\n")
