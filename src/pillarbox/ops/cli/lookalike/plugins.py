"""`rabbitmq-plugins`: what is a plugin there is a part of Pillarbox here, so there is nothing to turn on.

Scripts that enable what Pillarbox has go on; those that enable something else are told so. No broker is
asked.
"""

from __future__ import annotations

import re

from pillarbox.ops.cli.lookalike.arguments import EXIT_UNAVAILABLE, ToolError
from pillarbox.ops.cli.lookalike.formatting import Message
from pillarbox.ops.cli.lookalike.run import Command, Run

PARTS = (
    "rabbitmq_auth_mechanism_ssl",
    "rabbitmq_consistent_hash_exchange",
    "rabbitmq_delayed_message_exchange",
    "rabbitmq_management",
    "rabbitmq_management_agent",
    "rabbitmq_prometheus",
    "rabbitmq_random_exchange",
    "rabbitmq_recent_history_exchange",
    "rabbitmq_sharding",
    "rabbitmq_shovel",
    "rabbitmq_shovel_management",
)
"""The plugins whose work Pillarbox does. A new protocol or exporter adds its own."""


def _named(run: Run) -> list[str]:
    return [name for word in run.rest for name in word.split(",") if name]


def _missing(names: list[str]) -> list[str]:
    return [name for name in names if name not in PARTS]


def list_plugins(run: Run) -> str | Message:
    try:
        found = [name for name in PARTS if re.search(run.words["pattern"] or "", name)]
    except re.error as error:
        raise ToolError(EXIT_UNAVAILABLE, f"Error:\n{run.words['pattern']}: {error}") from None
    if run.options.get("formatter") == "json":
        plugins = [{"enabled": "enabled", "name": name, "running": True} for name in found]
        return Message("", {"format": "normal", "plugins": plugins})
    return "".join(f"{name}\n" if "minimal" in run.options else f"[E*] {name}\n" for name in found)


def is_enabled(run: Run) -> str:
    missing = _missing(_named(run))
    if missing:
        enabled = ", ".join(PARTS)
        raise ToolError(
            EXIT_UNAVAILABLE,
            f"Error:\nPlugin {', '.join(missing)} is not enabled. Enabled plugins: {enabled}",
        )
    return "".join(f"Plugin {name} is enabled\n" for name in _named(run))


def enable(run: Run) -> str:
    missing = _missing(_named(run))
    if missing:
        raise ToolError(EXIT_UNAVAILABLE, f"Error:\nPillarbox does not have {', '.join(missing)}")
    return "Plugin configuration unchanged.\n"


def disable(run: Run) -> str:
    found = [name for name in _named(run) if name in PARTS]
    if found:
        raise ToolError(
            EXIT_UNAVAILABLE, f"Error:\n{', '.join(found)}: a part of Pillarbox cannot be disabled"
        )
    return "Plugin configuration unchanged.\n"


_WHERE = {"--offline": "offline", "--online": "online"}
COMMANDS = (
    Command(
        "list",
        "[<pattern>]",
        "Parts of Pillarbox that are plugins elsewhere:",
        list_plugins,
        flags={
            **dict.fromkeys(("-m", "--minimal"), "minimal"),
            **dict.fromkeys(("-v", "--verbose"), "verbose"),
            **dict.fromkeys(("-e", "--enabled", "-E", "--implicitly-enabled"), "enabled"),
        },
        needs_account=False,
    ),
    Command("is_enabled", "<plugin>...", "", is_enabled, flags=_WHERE, needs_account=False),
    Command("enable", "<plugin>...", "", enable, flags={**_WHERE, "--all": "all"}, needs_account=False),
    Command("disable", "<plugin>...", "", disable, flags={**_WHERE, "--all": "all"}, needs_account=False),
)
