"""What a topic may be called. Source: Kafka's `Topic.validate`; row K31."""

from __future__ import annotations

import re
from typing import Final

NAME: Final = re.compile(r"[a-zA-Z0-9._-]{1,249}")


def is_valid_name(name: str) -> bool:
    """Whether Kafka allows a topic of this name."""
    return NAME.fullmatch(name) is not None and name not in (".", "..")
