"""Where Pillarbox answers clients of MQTT and STOMP otherwise than the peer does, each with the reason."""

from __future__ import annotations

from dataclasses import dataclass

from tests.compare_messaging.suite import Line


@dataclass(frozen=True)
class Difference:
    """`lines` are those of the peer's transcript that are others here, by their number."""

    scenario: str
    reason: str
    lines: dict[int, Line]


DIFFERENCES: tuple[Difference, ...] = (
    Difference(
        "paho_client.takeover",
        "Mosquitto 2.0.11 closes the older connection without a word; here it is told why (MQTT 5.0, 3.1.4).",
        {2: ["first ends", ["disconnected", True, 142]]},
    ),
)

NOT_BUILT = {}
"""What is missing, by scenario: its test is expected to fail, and one that passes is an error."""


def expected(scenario: str, recorded: list[Line]) -> list[Line]:
    """Return what Pillarbox is to show where the peer showed the recorded lines."""
    lines = list(recorded)
    for difference in DIFFERENCES:
        if difference.scenario == scenario:
            for number, line in difference.lines.items():
                lines[number] = line
    return lines
