"""The scenarios of events, and what RabbitMQ told of them."""

from __future__ import annotations

from pathlib import Path

from tests.compare_events import scenarios
from tests.transcripts.recording import Recordings
from tests.transcripts.registry import all_scenarios

SCENARIOS = all_scenarios(scenarios)
RECORDINGS = Recordings(Path(__file__).resolve().parent / "recordings")
