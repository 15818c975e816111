"""The brokers of a comparison, each as a process on free ports of this machine."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from bench.peers import HOST, Pillarbox, await_true, free_ports


@dataclass(frozen=True)
class Target:
    """A running broker as clients see it."""

    name: str
    port: int
    printed: Callable[[], str] = str


def accepts(port: int) -> bool:
    """Does somebody listen there?"""
    with contextlib.suppress(OSError), socket.create_connection((HOST, port), timeout=1):
        return True
    return False


@contextlib.contextmanager
def mosquitto() -> Iterator[Target]:
    """Run Debian's Mosquitto with what it is told by default, but for anonymous clients."""
    program = shutil.which("mosquitto") or "/usr/sbin/mosquitto"
    said = subprocess.run([program, "-h"], capture_output=True, text=True, check=False).stdout
    version = re.search(r"version ([\d.]+)", said)
    (port,) = free_ports(1)
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "mosquitto.conf"
        config.write_text(f"listener {port} {HOST}\nallow_anonymous true\n")
        process = subprocess.Popen([program, "-c", str(config)], stderr=subprocess.DEVNULL)
        try:
            await_true(lambda: accepts(port), 10, "mosquitto listens")
            yield Target(f"Mosquitto {version[1] if version else '?'}", port)
        finally:
            process.terminate()
            process.wait()


@contextlib.contextmanager
def pillarbox(protocol: str) -> Iterator[Target]:
    """Run `pillarbox serve` on a data folder, with a port for this protocol."""
    (port,) = free_ports(1)
    env = {f"PILLARBOX_{protocol.upper()}_PORT": str(port)}
    with Pillarbox(options=["--port", "off"], env=env) as peer:
        yield Target(f"Pillarbox {peer.version}", port, peer.printed)


PEERS: dict[str, Callable[[], AbstractContextManager[Target]]] = {"mosquitto": mosquitto}
"""By the name that a file of scenarios gives."""


def installed(peer: str) -> bool:
    """Can this peer be run here?"""
    return shutil.which(peer) is not None or os.path.exists(f"/usr/sbin/{peer}")
