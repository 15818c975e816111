"""`shovel_status`, `restart_shovel` and `delete_shovel`, which rabbitmqctl has with RabbitMQ's plugin.

Source: RabbitMQ 3.10.8, measured. Where shovels differ in what they have, its table has lines of different
lengths; here the columns are all that any of them has.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pillarbox.ops.api_client import ApiError
from pillarbox.ops.cli.lookalike.arguments import EXIT_UNAVAILABLE, ToolError
from pillarbox.ops.cli.lookalike.formatting import Table
from pillarbox.ops.cli.lookalike.run import Command, Run

_ONE = "/shovels/vhost/{vhost}/{name}"
_SIDES = {"src": "source", "dest": "destination"}
ALWAYS = ("destination", "last_changed", "name", "source", "state", "termination_reason", "type", "vhost")


def _row(shovel: Mapping[str, Any]) -> dict[str, Any]:
    date, _, time = shovel["timestamp"].partition(" ")
    row = {
        "last_changed": f"{date} {time.rjust(8, '0')}",
        "termination_reason": shovel.get("reason", ""),
        **{name: shovel[name] for name in ("name", "state", "type", "vhost")},
    }
    for prefix, side in _SIDES.items():
        for key, value in shovel.items():
            if key.startswith(f"{prefix}_"):
                row[side + key.removeprefix(prefix).replace("_uri", "")] = value
    return row


def _status(run: Run) -> Table:
    rows = [_row(each) for each in run.get("/shovels")]
    return Table(sorted({*ALWAYS}.union(*rows)), rows)


def _one(path: str) -> Callable[[Run], None]:
    def do(run: Run) -> None:
        try:
            run.call("DELETE", path)
        except ApiError as error:
            if error.status != 404:
                raise
            text = "Shovel with the given name was not found on the target node"
            where = f"'{run.node}' and / or virtual host '{run.words['vhost']}'"
            raise ToolError(EXIT_UNAVAILABLE, f"Error:\n{text} {where}") from None

    return do


COMMANDS = (
    Command("shovel_status", "", "Shovel status on node {node}", _status),
    Command(
        "restart_shovel",
        "<name>",
        "Restarting dynamic Shovel {name} in virtual host {vhost} on node {node}",
        _one(f"{_ONE}/restart"),
    ),
    Command("delete_shovel", "<name>", "Deleting shovel {name} in vhost {vhost}", _one(_ONE)),
)
