"""JSON as two of the formats write their schemas down: read strictly, written without space."""

from __future__ import annotations

import json
from math import isfinite
from typing import Any

from pillarbox.ops.registry.formats import InvalidSchema


def read(text: str) -> Any:
    """What the text says. Raises InvalidSchema for what is no JSON."""
    try:
        return json.loads(text, parse_constant=_refuse, parse_float=_float)
    except ValueError as error:
        raise InvalidSchema(f"no JSON: {error}") from None


def write(value: Any, *, in_order: bool = True) -> str:
    """A text that says it; otherwise with all names sorted."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False, sort_keys=not in_order)


def _refuse(word: str) -> Any:
    raise InvalidSchema(f"{word} is no number of JSON")


def _float(text: str) -> float:
    found = float(text)
    if not isfinite(found):
        raise InvalidSchema(f"the number {text[:30]} is too large")
    return found
