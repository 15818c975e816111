"""Producer ids: numbers that no producer had before, whatever became of the clock between two starts.

They come in blocks, and where the last block ends is kept. Two producers with one id would be taken for one:
what the second one sends first would be a repetition of what the first one sent, and would not be stored.
Source: KIP-730.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pillarbox.broker.core import Core

KEY: Final = "kafka/producer-ids"
BLOCK_IDS: Final = 1000
"""As Kafka has it: of a thousand producers one has a fact in the journal."""


class ProducerIds:
    """See the module."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._end = 0
        """Ids up to here are spoken for."""
        for _, value in core.kept(KEY):
            self._end = int(value)
        core.uid_is_taken(self._end)

    def __repr__(self) -> str:
        return f"<ProducerIds end={self._end}>"

    def take(self) -> int:
        """An id; to be told when what is kept is durable."""
        producer_id = self._core.take_uid()
        if producer_id > self._end:
            self._end = producer_id + BLOCK_IDS
            self._core.keep(KEY, b"%d" % self._end)
        return producer_id
