"""`pillarbox monitor` as a process, and as an app that a story plays on."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

from pillarbox.ops.monitor.screen import Monitor
from pillarbox.ops.monitor.source import Shot
from pillarbox.ops.monitor.table import Subject

WAIT_S = 60


def monitor(*arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pillarbox", "monitor", *arguments],
        capture_output=True,
        text=True,
        timeout=WAIT_S,
        env={**os.environ, **env},
        stdin=subprocess.DEVNULL,
    )


def on_screen(take_: Callable[[Subject], Shot], story: Callable[[Monitor, Any], Any], **options: Any) -> None:
    """Run a story on a screen of 120 by 30 characters, once the first table is there."""

    async def play() -> None:
        app = Monitor(take_, interval_s=60, **options)
        async with app.run_test(size=(120, 30)) as pilot:
            await app.workers.wait_for_complete()
            await pilot.pause()
            await story(app, pilot)

    asyncio.run(asyncio.wait_for(play(), WAIT_S))
