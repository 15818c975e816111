"""`pillarbox ping`: a health check that needs no account and leaves no trace in the broker's statistics.

It opens a connection, sends the AMQP 0-9-1 protocol header and waits for a whole connection.start, which only
a broker that accepts, reads and answers can send; then it hangs up. Sockets of the standard library only,
so that a container can afford it every few seconds.
"""

from __future__ import annotations

import socket
import struct

import click

from pillarbox.clock import monotonic_ns
from pillarbox.config import BY_NAME
from pillarbox.config_values import OFF, SECONDS
from pillarbox.errors import PillarboxError
from pillarbox.ops.cli import CONTEXT
from pillarbox.ops.cli.options import CONFIG_FILE, click_option, configuration

PROTOCOL_HEADER = b"AMQP\x00\x00\x09\x01"
FRAME_HEADER = struct.Struct(">BHI")
FRAME_METHOD = 1
FRAME_END = 0xCE
CONNECTION_START = struct.pack(">HH", 10, 10)

START_SIZE_MAX = 131_072
"""Bytes of a connection.start; a broker's is below 1 KiB, so more means that something else answers."""

HUNG_UP = "the connection was closed before AMQP was offered"

ANY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "127.0.0.1", "": "localhost"}
"""Addresses that a broker can listen on but nobody can connect to, and where to find it instead."""


def ping(host: str, port: int, timeout_s: float) -> None:
    """Return when the broker at this address has offered to talk AMQP 0-9-1. Raises PillarboxError."""
    try:
        with socket.create_connection((host, port), timeout_s) as peer:
            peer.settimeout(timeout_s)
            peer.sendall(PROTOCOL_HEADER)
            kind, channel, size = FRAME_HEADER.unpack(_receive(peer, FRAME_HEADER.size))
            if kind != FRAME_METHOD or channel != 0 or size > START_SIZE_MAX:
                raise PillarboxError("what answers does not speak AMQP 0-9-1")
            payload = _receive(peer, size + 1)
    except TimeoutError:
        raise PillarboxError(f"no answer within {timeout_s:g} s") from None
    except ConnectionResetError:
        raise PillarboxError(HUNG_UP) from None
    except OSError as error:
        raise PillarboxError(f"{error.strerror or error}") from None
    if not payload.startswith(CONNECTION_START) or payload[-1] != FRAME_END:
        raise PillarboxError("what answers does not speak AMQP 0-9-1")


def _receive(peer: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        chunk = peer.recv(size - len(data))
        if not chunk:
            raise PillarboxError(HUNG_UP)
        data += chunk
    return data


def run(config_file: str | None, timeout: str, **given: object) -> int:
    """Ping the broker that this command line names, and say in one line how it went."""
    config = configuration(given, config_file)
    host = ANY_ADDRESS.get(config.host, config.host)
    try:
        timeout_s = SECONDS.parse(timeout)
        if timeout_s < 1:
            raise ValueError(timeout)
    except ValueError:
        expected = f"{SECONDS.expected} of at least 1s"
        raise click.UsageError(f'--timeout must be {expected}, not "{timeout}"') from None
    if config.port == OFF:
        raise PillarboxError("there is no port without TLS to ask: port is off")
    started_ns = monotonic_ns()
    try:
        ping(host, config.port, timeout_s)
    except PillarboxError as error:
        raise PillarboxError(f"ping {host}:{config.port} failed: {error}") from None
    click.echo(f"{host}:{config.port} answers ({(monotonic_ns() - started_ns) / 1e6:.1f} ms)")
    return 0


command = click.Command(
    "ping",
    context_settings=CONTEXT,
    callback=run,
    params=[
        CONFIG_FILE,
        click_option(
            BY_NAME["host"], "The address of the broker; one that stands for all means this machine."
        ),
        click_option(BY_NAME["port"], "The TCP port on which the broker listens for AMQP without TLS."),
        click.Option(
            ["--timeout"], metavar="TIME", default="5s", show_default=True, help="How long to wait."
        ),
    ],
    help="Ask a running broker whether it answers. Exit code 0 if it does, 1 if not: a health check.",
)
