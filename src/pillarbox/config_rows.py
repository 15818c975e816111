"""What a setting says about itself: its row in a table of options.

Not here: the settings (`config`, and each protocol's `options`), how values are written (`config_values`).
"""

from typing import NamedTuple

from pillarbox.config_values import OFF, PORT, PORT_MAX, Kind
from pillarbox.errors import StartupError

UNLIMITED = 2**63 - 1


class ConfigError(StartupError):
    """An option that is unknown, malformed or out of range: one sentence for the operator."""


class Row(NamedTuple):
    """What a field of a table says about itself besides its type and its default."""

    section: str
    kind: Kind
    help: str
    minimum: int = 0
    maximum: int = UNLIMITED
    choices: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    """Further command-line flags."""
    env_also: str = ""
    """Another product's environment variable with the same meaning."""
    secret: bool = False
    by_profile: bool = False
    """0 stands for what the profile says, which has a field of the same name."""


def port_row(section: str, purpose: str) -> Row:
    """A port that need not be there."""
    return Row(
        section,
        PORT,
        f"{purpose} 0 takes any free port, which the startup line names; `off`: there is none.",
        minimum=OFF,
        maximum=PORT_MAX,
    )
