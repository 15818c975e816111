"""The brokers of a comparison, each as a process on free ports of this machine."""

from __future__ import annotations

import contextlib
import re
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from bench.peers import HOST, Pillarbox, RabbitMQ, await_true, free_ports


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
def rabbitmq_stomp() -> Iterator[Target]:
    """Run Debian's RabbitMQ with its STOMP plugin."""
    with RabbitMQ(plugins=("rabbitmq_stomp",)) as peer:
        yield Target(f"{peer.name} {peer.version}", peer.stomp_port)


ACTIVEMQ_JAR = Path("/usr/share/activemq/bin/activemq.jar")


@contextlib.contextmanager
def activemq() -> Iterator[Target]:
    """Run Debian's ActiveMQ Classic with persistence and its scheduler, and nothing but STOMP."""
    (port,) = free_ports(1)
    with tempfile.TemporaryDirectory() as folder:
        uri = f"broker:(stomp://{HOST}:{port})?dataDirectory={folder}&schedulerSupport=true&useJmx=false"
        places = [f"-Dactivemq.{name}={folder}" for name in ("base", "conf", "data")]
        process = subprocess.Popen(
            ["java", "-Dactivemq.home=/usr/share/activemq", *places, "-jar", str(ACTIVEMQ_JAR), "start", uri],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            await_true(lambda: accepts(port), 60, "activemq listens")
            yield Target(f"ActiveMQ {_activemq_version(port)}", port)
        finally:
            process.terminate()
            process.wait()


def _activemq_version(port: int) -> str:
    with socket.create_connection((HOST, port), timeout=5) as peer:
        peer.sendall(b"CONNECT\naccept-version:1.2\nhost:localhost\n\n\0")
        found = re.search(rb"server:ActiveMQ/([\d.]+)", peer.recv(4096))
    return found[1].decode() if found else "?"


PROTOCOLS: dict[str, tuple[str, dict[str, str]]] = {
    "mqtt": ("PILLARBOX_MQTT_PORT", {}),
    "stomp": ("PILLARBOX_STOMP_PORT", {}),
    "stomp-activemq": ("PILLARBOX_STOMP_PORT", {"PILLARBOX_STOMP_DIALECT": "activemq"}),
}
"""What Pillarbox is told for a file of scenarios: where the port goes, and what else."""


@contextlib.contextmanager
def pillarbox(protocol: str) -> Iterator[Target]:
    """Run `pillarbox serve` on a data folder, with a port for this protocol."""
    (port,) = free_ports(1)
    variable, more = PROTOCOLS[protocol]
    env = {variable: str(port), **more}
    with Pillarbox(options=["--port", "off"], env=env) as peer:
        yield Target(f"Pillarbox {peer.version}", port, peer.printed)


PEERS: dict[str, Callable[[], AbstractContextManager[Target]]] = {
    "mosquitto": mosquitto,
    "rabbitmq": rabbitmq_stomp,
    "activemq": activemq,
}
"""By the name that a file of scenarios gives."""
