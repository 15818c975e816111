"""What operators see of single protocols: the modules that the rows of protocols name for it.

Such a module has `RESOURCES` (routes of the management API), and for metrics `totals(view)` and
`families(view, node)`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING

from pillarbox.protocols.registry import PROTOCOLS

if TYPE_CHECKING:
    from pillarbox.protocols.registry import Spoken


def all_modules() -> list[ModuleType]:
    """Of all protocols, whether a port is open for them or not."""
    return [import_module(protocol.operators) for protocol in PROTOCOLS if protocol.operators]


def of_spoken(spoken: Mapping[str, Spoken]) -> Iterator[tuple[ModuleType, Spoken]]:
    """Of protocols for which a port is open."""
    for one in spoken.values():
        if one.protocol.operators:
            yield import_module(one.protocol.operators), one
