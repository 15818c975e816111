"""The limits of memory and disk, while the broker runs: /nodes/NODE/limits (R73).

Ours alone: what `rabbitmqctl set_vm_memory_high_watermark` and `set_disk_free_limit` do to a RabbitMQ. They
last until the next start, and publishers are held up or go on at once. The node shows them as `mem_limit`
and `disk_free_limit`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from pillarbox.config import BY_NAME, ConfigError
from pillarbox.ops.management.request import bad_request, not_found
from pillarbox.ops.management.routes import ADMINISTRATOR, Route
from pillarbox.ops.resources import machine_bytes, watermark_bytes

if TYPE_CHECKING:
    from pillarbox.ops.management.request import Request


class Watermarks(msgspec.Struct):
    """What to change, written as in the configuration; `disk_free_relative` is a share of the memory."""

    memory_high_watermark: float | str | None = None
    disk_free_min: int | str | None = None
    disk_free_relative: float | None = None


def _read(option: str, written: float | str) -> Any:
    try:
        return BY_NAME[option].read(written, source=option)
    except ConfigError as error:
        raise bad_request(str(error)) from None


def put(request: Request) -> None:
    body: Watermarks = request.body
    if request.path["node"] != request.node.name:
        raise not_found()
    watch, available = request.node.watch, machine_bytes()
    memory_max, free_min = watch.memory_max, watch.disk_free_min
    if body.memory_high_watermark is not None:
        memory_max = watermark_bytes(_read("memory_high_watermark", body.memory_high_watermark), available)
    if body.disk_free_relative is not None:
        if not 0 <= body.disk_free_relative <= 1000:
            raise bad_request("disk_free_relative must be from 0 to 1000")
        free_min = int(body.disk_free_relative * available)
    if body.disk_free_min is not None:
        free_min = _read("disk_free_min", body.disk_free_min)
    watch.limit_memory(memory_max)
    watch.limit_disk(free_min)
    request.core.warn(
        f"user {request.user.name!r} has set limits until the next start: {memory_max} bytes of memory, "
        f"{free_min} bytes free on the disk"
    )
    watch.look(request.now_ms)


ROUTES = (
    Route(
        "PUT",
        "/nodes/{node}/limits",
        put,
        ADMINISTRATOR,
        "Limit memory and disk until the next start.",
        body=Watermarks,
        status=204,
    ),
)
