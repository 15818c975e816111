"""`set_vm_memory_high_watermark` and `set_disk_free_limit`: limits of a running node (R73).

Each takes one argument, or a word and another one. Only Pillarbox can be told over HTTP.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from pillarbox.config_values import parse_size
from pillarbox.ops.cli.lookalike.arguments import EXIT_DATA, UsageError
from pillarbox.ops.cli.lookalike.run import Command, Run


def _is_share(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def _is_size(text: str) -> bool:
    try:
        return parse_size(text) >= 0
    except ValueError:
        return False


def _limit(
    one: Callable[[str], bool], word: str, other: Callable[[str], bool], shown: str
) -> Callable[[Run], None]:
    """One argument, or `word` and another; `shown`: what the banner has for each of them, tab between."""

    def check(run: Run) -> None:
        limit, value = run.words["limit"], run.words["value"]
        good = limit == word and other(value) if value else one(limit)
        if not good:
            raise UsageError("Bad argument.", EXIT_DATA)
        run.words["shown"] = shown.split("\t")[bool(value)].format(value or limit)

    return check


_check_memory = _limit(_is_share, "absolute", _is_size, "{}\t{} bytes")
_check_disk = _limit(_is_size, "mem_relative", _is_share, "{} bytes\t{} times the total RAM")


def _memory_limit(run: Run) -> None:
    _check_memory(run)
    if not run.words["value"] and not 0 <= float(run.words["limit"]) <= 1:
        text = "Bad argument: The threshold should be a fraction between 0.0 and 1.0"
        raise UsageError(text, EXIT_DATA)


def _set_memory_limit(run: Run) -> None:
    value = run.words["value"]
    _set_node_limit(run, {"memory_high_watermark": value if value else float(run.words["limit"])})


def _set_disk_limit(run: Run) -> None:
    value = run.words["value"]
    _set_node_limit(
        run, {"disk_free_relative": float(value)} if value else {"disk_free_min": run.words["limit"]}
    )


def _set_node_limit(run: Run, body: dict[str, Any]) -> None:
    run.call("PUT", "/nodes/{node}/limits", body, node=run.node)


COMMANDS = (
    Command("set_vm_memory_high_watermark", "<limit> [<value>]",
            "Setting memory threshold on {node} to {shown} ...", _set_memory_limit, validate=_memory_limit),
    Command("set_disk_free_limit", "<limit> [<value>]", "Setting disk free limit on {node} to {shown} ...",
            _set_disk_limit, validate=_check_disk),
)  # fmt: skip
