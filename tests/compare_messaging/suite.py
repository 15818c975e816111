"""The scenarios with clients of MQTT and STOMP, and what they saw on the peers.

Each file of scenarios says what is spoken (`PROTOCOL`) and with whom it is recorded (`PEER`).
"""

from __future__ import annotations

from pathlib import Path

from tests.compare_messaging import scenarios
from tests.transcripts.recording import Recordings
from tests.transcripts.registry import all_scenarios

SCENARIOS = all_scenarios(scenarios)
RECORDINGS = Recordings(Path(__file__).resolve().parent / "recordings")
