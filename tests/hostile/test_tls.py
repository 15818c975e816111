"""AMQP over TLS (R14): real clients, clients that mistake the port, and certificates that cannot be used.

Certificates are made by the `openssl` command when the tests begin.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pika
import pytest

from pillarbox import Broker, ManualClock, StartupError
from pillarbox.clock import iso_time
from pillarbox.config_values import OFF
from pillarbox.net.tls import server_context
from tests.clients.raw_client import PROTOCOL_HEADER
from tests.hostile.conftest import Scene, scene_on

OPENSSL = shutil.which("openssl")
MESSAGES = 1000
TIMEOUT_S = 20.0
HOST = "127.0.0.1"

pytestmark = [
    pytest.mark.row("R14"),
    pytest.mark.skipif(OPENSSL is None, reason="no openssl command to make certificates with"),
]


class Pair(NamedTuple):
    """A self-signed certificate and its key."""

    certificate: str
    key: str


def make_pair(folder: Path, name: str, *, key: str = "ec", password: str = "") -> Pair:
    pair = Pair(str(folder / f"{name}.pem"), str(folder / f"{name}-key.pem"))
    kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"] if key == "ec" else ["-newkey", key]
    protection = ["-passout", f"pass:{password}"] if password else ["-nodes"]
    subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    command = ["openssl", "req", "-x509", *kind, *protection, "-days", "30", *subject]
    subprocess.run(
        [*command, "-out", pair.certificate, "-keyout", pair.key],
        check=True,
        capture_output=True,
        timeout=TIMEOUT_S,
    )
    return pair


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tls")


@pytest.fixture(scope="module")
def pair(folder: Path) -> Pair:
    return make_pair(folder, "server")


@pytest.fixture
def tls_scene(pair: Pair, caplog: pytest.LogCaptureFixture) -> Iterator[Scene]:
    """A broker with both ports, and the neighbour on the plain one."""
    broker = Broker(tls_port=0, tls_certificate=pair.certificate, tls_key=pair.key)
    with broker, scene_on(broker, caplog) as scene:
        yield scene


def tls_port(scene: Scene) -> int:
    return scene.broker.call(lambda server: server.addresses["amqps"][0][1])


def trusting(pair: Pair) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=pair.certificate)


def test_port_without_tls_may_be_closed(pair: Pair) -> None:
    options = {"tls_port": 0, "tls_certificate": pair.certificate, "tls_key": pair.key}
    with Broker(port=OFF, **options) as broker:
        plain, port = broker.call(
            lambda server: (server.addresses.get("amqp", []), server.addresses["amqps"][0][1])
        )
        assert plain == []
        parameters = pika.ConnectionParameters(
            HOST, port, ssl_options=pika.SSLOptions(trusting(pair), "localhost")
        )
        pika.BlockingConnection(parameters).close()


def test_pika_works_over_tls(tls_scene: Scene, pair: Pair) -> None:
    """Publish with confirms, consume, acknowledge: 1,000 messages, some of them larger than a TLS record."""
    parameters = pika.ConnectionParameters(
        HOST, tls_port(tls_scene), ssl_options=pika.SSLOptions(trusting(pair), "localhost")
    )
    bodies = [b"%d" % number * (20_000 if number % 100 == 0 else 1) for number in range(MESSAGES)]
    with pika.BlockingConnection(parameters) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        channel.queue_declare("secret", exclusive=True)
        for body in bodies:
            channel.basic_publish("", "secret", body)
        got = []
        for method, _, body in channel.consume("secret", inactivity_timeout=TIMEOUT_S):
            assert method is not None, "nothing comes any more"
            got.append(body)
            channel.basic_ack(method.delivery_tag)
            if len(got) == MESSAGES:
                break
        assert got == bodies


@pytest.mark.parametrize("server_name", [None, "localhost", "some.other.name"])
def test_name_that_the_client_asks_for_makes_no_difference(tls_scene: Scene, server_name: str | None) -> None:
    """There is one certificate, whatever the SNI says; whether it fits is for the client to judge."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with (
        socket.create_connection((HOST, tls_port(tls_scene)), timeout=TIMEOUT_S) as plain,
        context.wrap_socket(plain, server_hostname=server_name) as wrapped,
    ):
        assert wrapped.version() in ("TLSv1.2", "TLSv1.3")
        wrapped.sendall(PROTOCOL_HEADER)
        assert wrapped.recv(1) == b"\x01"


@pytest.mark.parametrize("hello", [PROTOCOL_HEADER, b"GET / HTTP/1.1\r\n\r\n", bytes(100)])
def test_plain_bytes_on_the_tls_port_are_cut(tls_scene: Scene, hello: bytes) -> None:
    with socket.create_connection((HOST, tls_port(tls_scene)), timeout=TIMEOUT_S) as client:
        client.sendall(hello)
        with contextlib.suppress(ConnectionError):
            while client.recv(1000):
                """An alert may come before the end."""


def test_tls_on_the_plain_port_is_cut(tls_scene: Scene, pair: Pair) -> None:
    """The client gets our header, which is no TLS, and knows."""
    with (
        socket.create_connection((HOST, tls_scene.port), timeout=TIMEOUT_S) as client,
        pytest.raises((ssl.SSLError, ConnectionError)),
    ):
        trusting(pair).wrap_socket(client, server_hostname="localhost")


def test_client_that_does_not_trust_the_certificate_leaves_nothing(tls_scene: Scene) -> None:
    with (
        socket.create_connection((HOST, tls_port(tls_scene)), timeout=TIMEOUT_S) as client,
        pytest.raises(ssl.SSLCertVerificationError),
    ):
        ssl.create_default_context().wrap_socket(client, server_hostname="localhost")


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1_1:DeprecationWarning")
def test_old_versions_of_tls_are_refused(tls_scene: Scene) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_ciphers("DEFAULT@SECLEVEL=0")
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    with (
        socket.create_connection((HOST, tls_port(tls_scene)), timeout=TIMEOUT_S) as client,
        pytest.raises((ssl.SSLError, ConnectionError)),
    ):
        context.wrap_socket(client)


def test_handshakes_that_never_end_do_not_hold_up_the_stop(pair: Pair) -> None:
    """Half a hello, and nothing more: such a socket is no connection yet and keeps nothing alive."""
    broker = Broker(tls_port=0, tls_certificate=pair.certificate, tls_key=pair.key).start()
    port = broker.call(lambda server: server.addresses["amqps"][0][1])
    with contextlib.ExitStack() as sockets:
        for hello in (b"", b"\x16", b"\x16\x03\x01\x02\x00\x01"):
            client = sockets.enter_context(socket.create_connection((HOST, port), timeout=TIMEOUT_S))
            client.sendall(hello)
        broker.stop()


# --- certificates that cannot be used -------------------------------------------------------------------


def serve(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `pillarbox serve`, which must not start."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PILLARBOX_")}
    return subprocess.run(
        [
            sys.executable,
            "-m",
            "pillarbox",
            "serve",
            "--memory",
            "--port",
            "0",
            "--tls-port",
            "0",
            *arguments,
        ],
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        env=environment,
        stdin=subprocess.DEVNULL,
        check=False,
    )


def refused(certificate: str, key: str) -> str:
    """The one line with which the broker does not start."""
    done = serve("--tls-certificate", certificate, "--tls-key", key)
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith("pillarbox: ")
    assert done.stderr.count("\n") == 1
    return done.stderr.removeprefix("pillarbox: ").strip()


def test_missing_files_are_named(pair: Pair, folder: Path) -> None:
    missing = str(folder / "missing.pem")
    assert refused(missing, pair.key) == (
        f"cannot read the TLS certificate {missing}: No such file or directory"
    )
    assert (
        refused(pair.certificate, missing) == f"cannot read the TLS key {missing}: No such file or directory"
    )


def test_key_of_another_certificate_is_refused(pair: Pair, folder: Path) -> None:
    other = make_pair(folder, "other")
    assert refused(pair.certificate, other.key) == (
        f"the TLS key {other.key} is not that of the certificate {pair.certificate}"
    )


def test_files_that_are_no_pem_are_refused(pair: Pair, folder: Path) -> None:
    noise = folder / "noise.pem"
    noise.write_bytes(bytes(range(256)))
    for certificate, key in ((str(noise), pair.key), (pair.certificate, str(noise))):
        assert "both must be PEM files, the key without a password" in refused(certificate, key)


def test_key_with_a_password_is_refused_and_not_asked_for(folder: Path) -> None:
    locked = make_pair(folder, "locked", password="secret")
    assert "the key without a password" in refused(*locked)


def test_certificate_without_its_key_is_refused(pair: Pair) -> None:
    for half in (("--tls-certificate", pair.certificate), ("--tls-key", pair.key)):
        done = serve(*half)
        assert done.returncode == 2
        assert done.stderr == "pillarbox: tls_certificate and tls_key are given together or not at all\n"


@pytest.mark.parametrize("key", ["ec", "rsa:2048"])
def test_expired_certificate_is_refused(folder: Path, key: str) -> None:
    """A client would refuse it anyway, and its words are worse. The clock says what time it is."""
    pair = make_pair(folder, f"ending-{key[:2]}", key=key)
    shown = subprocess.run(
        ["openssl", "x509", "-in", pair.certificate, "-noout", "-enddate"],
        check=True,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
    ).stdout.strip()
    end = shown.removeprefix("notAfter=")
    end_ms = ssl.cert_time_to_seconds(end) * 1000
    server_context(*pair, end_ms)
    clock = ManualClock(end_ms + 1)
    broker = Broker(tls_port=0, tls_certificate=pair.certificate, tls_key=pair.key, clock=clock)
    until = re.escape(iso_time(end_ms))
    with pytest.raises(StartupError, match=f"has expired: it was valid until {until}$"):
        broker.start()
