"""Two transcripts of a scenario side by side, in words."""

from __future__ import annotations

import difflib
import json

from tests.compare_kafka.case import Line

LINE_MAX = 300
"""Longer lines are cut when they are shown."""


def difference(name: str, peer: str, expected: list[Line], ours: str, got: list[Line]) -> str:
    """Return what differs, with the lines around it; the empty string if nothing does."""
    before, after = ([json.dumps(line, ensure_ascii=False) for line in lines] for lines in (expected, got))
    lines = difflib.unified_diff(before, after, peer, ours, lineterm="", n=2)
    shown = [line if len(line) < LINE_MAX else f"{line[:LINE_MAX]}..." for line in lines]
    return "\n".join([f"--- {name}", *shown]) if shown else ""
