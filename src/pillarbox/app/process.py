"""A broker as a process of its own: its log, its limits, its signals, and its life until it is told to stop.

Not here: what the command line may say (`ops.cli`), what the broker is made of (`server`).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from pillarbox.app.server import Server
from pillarbox.errors import StartupError
from pillarbox.net.driver import shown
from pillarbox.ops.garbage import Collector
from pillarbox.ops.resources import process_bytes

if TYPE_CHECKING:
    from pillarbox.config import Config

log = logging.getLogger("pillarbox")

SWITCH_INTERVAL_S = 0.0005
"""How long a worker thread may keep the interpreter from the loop: a fifth of the largest unit of work."""

KEPT_BYTES = 64 << 20
"""Freed memory that the process keeps: taking it anew costs more than filling it, with large bodies half of
the time."""

FILES_WANTED = 1 << 20
"""Open files to ask the system for: the usual limit of 1024 is less than the connections that clients expect.
Linux allows no more than this unless it is told to."""


def serve(config: Config, *, announce: Callable[..., None]) -> int:
    """Run a broker until SIGTERM, SIGINT or SIGHUP; return the exit code. Raises StartupError."""
    write_log(config)
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    keep_freed_memory()
    allow_open_files()
    code: int = run(_serve(config, announce))
    return code


def write_log(config: Config) -> None:
    """Have the log written where and how it is wanted. Raises StartupError."""
    handler: logging.Handler = logging.StreamHandler(sys.stderr)
    if config.log_file:
        from logging.handlers import WatchedFileHandler

        try:
            handler = WatchedFileHandler(config.log_file, encoding="utf-8")
        except OSError as error:
            raise StartupError(f"cannot write the log to {config.log_file}: {error.strerror}") from None
    logging.basicConfig(
        level=config.log_level.upper(), handlers=[handler], format="%(asctime)s %(levelname)s %(message)s"
    )


def allow_open_files() -> None:
    """Raise the limit of open files as far as this account may. Does nothing where it cannot."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = FILES_WANTED if hard == resource.RLIM_INFINITY else min(hard, FILES_WANTED)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def keep_freed_memory() -> None:
    """Have the C library keep what was freed for the next large body. Does nothing where it cannot."""
    import ctypes

    top_pad, trim_threshold, mmap_threshold = -2, -1, -3  # From malloc.h, the same for all of glibc.
    with contextlib.suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(top_pad, KEPT_BYTES // 4)
        mallopt(trim_threshold, KEPT_BYTES)
        mallopt(mmap_threshold, KEPT_BYTES // 2)


def run(main: Any) -> Any:
    """Run a coroutine on the fastest loop there is."""
    try:
        import uvloop
    except ImportError:
        return asyncio.run(main)
    return uvloop.run(main)


STOPPING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
"""What ends a broker gracefully; SIGHUP is the end of its terminal, and what some logrotate scripts send."""


async def _serve(config: Config, announce: Callable[..., None]) -> int:
    server = Server(config, process_bytes=process_bytes)
    await server.start()
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in STOPPING:
        # Whoever starts it under nohup wants it to outlive its terminal.
        if number is not signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:
            loop.add_signal_handler(number, stopped.set)
    Collector(lambda: server.ticker.turns).start(loop)
    announce(
        *(
            f"{name} {shown(address)}"
            for name, found in (server.addresses | server.operator_addresses).items()
            for address in found
        )
    )
    await stopped.wait()
    log.info("stopping")
    await server.stop()
    log.info("stopped; longest tick %.1f ms", server.ticker.longest_ns / 1e6)
    return 0
