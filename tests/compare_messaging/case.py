"""What a scenario gets besides its transcript: a broker's port."""

from __future__ import annotations

from tests.compare_messaging.peers import Target
from tests.transcripts import case


class Case(case.Case):
    """One run of a scenario on a broker."""

    def __init__(self, target: Target) -> None:
        super().__init__()
        self.port = target.port
