"""Where Pillarbox answers clients of MQTT and STOMP otherwise than the peer does, each with the reason."""

from __future__ import annotations

from tests.transcripts.report import Difference

DIFFERENCES: tuple[Difference, ...] = (
    Difference(
        "paho_client.takeover",
        "Mosquitto 2.0.11 closes the older connection without a word; here it is told why (MQTT 5.0, 3.1.4).",
        {2: ["first ends", ["disconnected", True, 142]]},
    ),
)

NOT_BUILT: dict[str, str] = {}
"""What is missing, by scenario: its test is expected to fail, and one that passes is an error."""
