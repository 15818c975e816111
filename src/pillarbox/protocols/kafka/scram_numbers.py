"""Kafka's numbers of the mechanisms of SCRAM. Source: KIP-554; row K71."""

from __future__ import annotations

from typing import Final

MECHANISM_BY_NUMBER: Final = {1: "SCRAM-SHA-256", 2: "SCRAM-SHA-512"}
NUMBER_BY_MECHANISM: Final = {name: number for number, name in MECHANISM_BY_NUMBER.items()}
