"""npm's packages that scenarios run."""

from __future__ import annotations

import shutil
from pathlib import Path

NODE = Path(__file__).resolve().parent.parent / "node"


def missing(package: str) -> str:
    """Return why a package cannot be run here, or the empty string."""
    if shutil.which("node") is None:
        return "node is not installed (Debian: nodejs npm)"
    if not (NODE / "node_modules" / package).is_dir():
        return f"npm's {package} is not installed: run `npm ci` in tests/compare_kafka/node"
    return ""
