"""The two brokers of a comparison, with their event exchange and a watcher on it."""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pika

import pillarbox as ours
from bench.peers import RabbitMQ, make_certificate
from pillarbox.broker.client import NODE_NAME
from pillarbox.protocols.registry import PROTOCOLS
from tests.compare_events.watcher import Told, Watcher

HOST = "127.0.0.1"
EXCHANGES = ("amq.rabbitmq.event", "amq.rabbitmq.trace")

OTHERS = ("mqtt", "stomp")
"""Protocols that scenarios speak besides AMQP."""
SPOKEN = tuple(each for each in OTHERS if each in [protocol.name for protocol in PROTOCOLS])
"""Those of them that Pillarbox speaks here."""

QUIET_S = 0.25
"""RabbitMQ's parts are processes of their own: what has been asked of one is told by others a while later."""


@dataclass
class Target:
    """A running broker. `quiet_s`: how long nothing must come until all that was asked for has been told."""

    name: str
    node: str
    port: int
    management_port: int
    watcher: Watcher
    copies: Watcher
    quiet_s: float
    set_alarm: Callable[[bool], None]
    ports: Mapping[str, int]
    """Of MQTT, STOMP and AMQP over TLS."""

    left: list[Any] = field(default_factory=list)
    """Clients of the scenario before, to be closed."""

    def begin(self) -> None:
        """Have nothing to tell of what was before."""
        for client in self.left:
            with contextlib.suppress(pika.exceptions.AMQPError):
                client.close()
        self.left.clear()
        self.quiet()
        self.quiet(self.copies)

    def quiet(self, watcher: Watcher | None = None) -> list[Told]:
        """Everything that was told (or copied), when nothing more comes."""
        watcher = watcher or self.watcher
        taken = watcher.take()
        deadline = time.monotonic() + self.quiet_s
        while time.monotonic() < deadline:
            time.sleep(self.quiet_s / 10)
            more = watcher.take()
            if more:
                taken += more
                deadline = time.monotonic() + self.quiet_s
        return taken


@contextlib.contextmanager
def _watched(name: str, node: str, ports: tuple[int, int], quiet_s: float, *more: Any) -> Iterator[Target]:
    watchers = [Watcher(HOST, ports[0], exchange) for exchange in EXCHANGES]
    yield Target(name, node, *ports, *watchers, quiet_s, *more)
    for watcher in watchers:
        watcher.close()


@contextlib.contextmanager
def rabbitmq() -> Iterator[Target]:
    """Run a private RabbitMQ node."""
    plugins = (
        "rabbitmq_event_exchange",
        "rabbitmq_management",
        "rabbitmq_tracing",
        "rabbitmq_mqtt",
        "rabbitmq_stomp",
    )
    peer = RabbitMQ(plugins=plugins, config=["collect_statistics_interval = 1000"], tls=True)
    traces = f'[{{rabbitmq_tracing, [{{directory, "{peer.data}/traces"}}]}}].'
    (peer.data / "advanced.config").write_text(traces)

    def set_alarm(on: bool) -> None:
        peer.ctl("set_vm_memory_high_watermark", "absolute", "1" if on else "4GB")

    with peer:
        ports = (peer.amqp_port, peer.management_port)
        others = {"mqtt": peer.mqtt_port, "stomp": peer.stomp_port, "amqps": peer.amqps_port}
        with _watched(f"RabbitMQ {peer.version}", peer.node, ports, QUIET_S, set_alarm, others) as target:
            yield target


@contextlib.contextmanager
def pillarbox() -> Iterator[Target]:
    """Run Pillarbox here. All that one input causes is told before it is answered."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        certificate, key = make_certificate(folder)
        options = {
            "tls_port": 0,
            "tls_certificate": str(certificate),
            "tls_key": str(key),
            **{f"{name}_port": 0 for name in SPOKEN},
        }
        broker = ours.Broker(str(folder / "data"), event_exchange=True, management_port=0, **options)
        stack.enter_context(broker)
        others = {name: broker.server.addresses[name][0][1] for name in (*SPOKEN, "amqps")}

        def set_alarm(on: bool) -> None:
            broker.call(lambda server: server.core.set_alarm("memory", on))

        ports = [urlsplit(url).port or 0 for url in (broker.amqp_url, broker.management_url)]
        name = f"Pillarbox {ours.__version__}"
        with _watched(name, NODE_NAME, (ports[0], ports[1]), 0.0, set_alarm, others) as target:
            yield target
