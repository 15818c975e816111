"""A message broker that unmodified RabbitMQ, Kafka, MQTT and STOMP clients talk to.

`Broker` is a broker inside a program, `Config` its settings, `ManualClock` a clock that tests move.
The command `pillarbox serve` runs one as a process.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pillarbox.clock import ManualClock
    from pillarbox.config import Config
    from pillarbox.embedded import Broker, QueueState
    from pillarbox.errors import StartupError

__version__ = "0.1.0"
__all__ = ["Broker", "Config", "ManualClock", "QueueState", "StartupError", "__version__"]

# Imported when first asked for, so that `pillarbox --help` does not pay for a broker.
_HOMES = {
    "Broker": "pillarbox.embedded",
    "Config": "pillarbox.config",
    "ManualClock": "pillarbox.clock",
    "QueueState": "pillarbox.embedded",
    "StartupError": "pillarbox.errors",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)
