"""Where Pillarbox answers Kafka's clients otherwise than Apache Kafka 4.2 does.

`DIFFERENCES` are meant to stay, each with the whole transcript that Pillarbox is to give and the reason.
`NOT_BUILT` are scenarios that Pillarbox does not pass yet, with what is missing: their tests are expected to
fail, and one that passes is an error, so that the table stays true.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from tests.compare_kafka.case import Line


@dataclass(frozen=True)
class Difference:
    """`lines` are those of Kafka's transcript that are other ones here, by their number."""

    scenario: str
    reason: str
    lines: dict[int, Line]


DIFFERENCES: tuple[Difference, ...] = ()

NOT_BUILT: dict[str, str] = {}
"""What is missing, by scenario."""


def expected(scenario: str, recorded: list[Line]) -> list[Line]:
    """Return what Pillarbox is to show where Kafka showed the recorded lines."""
    lines = list(recorded)
    for difference in DIFFERENCES:
        if difference.scenario == scenario:
            for number, line in difference.lines.items():
                lines[number] = line
    return lines


def in_words() -> Iterator[str]:
    """Yield the differences as docs/compatibility.md shows them."""
    for difference in DIFFERENCES:
        yield f"`{difference.scenario}`: {difference.reason}"
