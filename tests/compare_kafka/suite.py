"""The scenarios with Kafka's clients, and what they saw on Kafka."""

from __future__ import annotations

from pathlib import Path

from tests.compare_kafka import scenarios
from tests.transcripts.recording import Recordings
from tests.transcripts.registry import all_scenarios

SCENARIOS = all_scenarios(scenarios)
RECORDINGS = Recordings(Path(__file__).resolve().parent / "recordings")
