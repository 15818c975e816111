"""Statistics over time: samples of the core's counters, for rates and charts."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pillarbox.broker.core import Core


class Sampler:
    """See the module."""

    def __init__(self, core: Core) -> None:
        self._core = core
