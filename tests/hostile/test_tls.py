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
from typing import Any, NamedTuple

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


# --- new files ------------------------------------------------------------------------------------------


class Renewed:
    """A broker on a clock that the test moves; its files are copies of pairs that are made at first."""

    def __init__(self, folder: Path, **options: Any) -> None:
        self.folder = folder
        self.files = Pair(str(folder / "current.pem"), str(folder / "current-key.pem"))
        self.put(make_pair(folder, "first"))
        tls = {"tls_port": 0, "tls_certificate": self.files.certificate, "tls_key": self.files.key}
        self.broker = Broker(clock=ManualClock(), **tls, **options)

    def put(self, pair: Pair) -> None:
        for source, target in zip(pair, self.files, strict=True):
            shutil.copy(source, target)

    def shown(self, name: str = "localhost", port: int = 0) -> str:
        """The certificate that a new client meets, as PEM."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        port = port or self.broker.call(lambda server: server.addresses["amqps"][0][1])
        with (
            socket.create_connection((HOST, port), timeout=TIMEOUT_S) as raw,
            context.wrap_socket(raw, server_hostname=name) as client,
        ):
            der = client.getpeercert(binary_form=True)
        assert der is not None
        return ssl.DER_cert_to_PEM_cert(der).strip()


def pem(pair: Pair) -> str:
    return Path(pair.certificate).read_text().strip()


def test_new_files_are_met_by_new_clients_and_old_ones_stay(tmp_path: Path) -> None:
    renewed = Renewed(tmp_path)
    with renewed.broker as broker:
        first = pem(renewed.files)
        port = broker.call(lambda server: server.addresses["amqps"][0][1])
        options = pika.SSLOptions(trusting(renewed.files), "localhost")
        with pika.BlockingConnection(pika.ConnectionParameters(HOST, port, ssl_options=options)) as old:
            for name in ("second", "third"):
                renewed.put(make_pair(tmp_path, name))
                assert renewed.shown() == first, "it is not looked at for each client"
                broker.advance("11s")
                first = renewed.shown()
                assert first == pem(renewed.files)
                assert old.channel().queue_declare("q", exclusive=True).method.queue == "q"


def test_files_that_cannot_be_used_are_told_once_and_change_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    renewed = Renewed(tmp_path)
    with renewed.broker as broker:
        first, second = pem(renewed.files), make_pair(tmp_path, "second")
        shutil.copy(second.certificate, renewed.files.certificate)
        for _ in range(3):
            broker.advance("11s")
            assert renewed.shown() == first
        told = [record.getMessage() for record in caplog.records if "TLS" in record.getMessage()]
        assert told == [
            f"the TLS key {renewed.files.key} is not that of the certificate {renewed.files.certificate}; "
            "TLS goes on with what it had"
        ]
        Path(renewed.files.key).unlink()
        broker.advance("11s")
        assert "cannot read the TLS key" in caplog.text
        shutil.copy(second.key, renewed.files.key)
        broker.advance("11s")
        assert renewed.shown() == pem(second)


def test_certificates_by_name_and_those_of_https_are_renewed_too(tmp_path: Path) -> None:
    other, page = make_pair(tmp_path, "other"), make_pair(tmp_path, "page")
    renewed = Renewed(
        tmp_path,
        tls_sni=(f"other.example={other.certificate}:{other.key}",),
        management_tls_port=0,
        management_tls_certificate=page.certificate,
        management_tls_key=page.key,
    )
    with renewed.broker as broker:
        https = broker.call(lambda server: server.operator_addresses["management-tls"][0][1])
        assert renewed.shown("other.example") == pem(other)
        assert renewed.shown(port=https) == pem(page)
        for old in (other, page):
            fresh = make_pair(tmp_path, "fresh")
            for source, target in zip(fresh, old, strict=True):
                shutil.copy(source, target)
            broker.advance("11s")
        assert renewed.shown("other.example") == pem(other)
        assert renewed.shown(port=https) == pem(page) == pem(fresh)
        assert renewed.shown() == pem(renewed.files) != pem(other)


def test_authorities_are_renewed_too(tmp_path: Path) -> None:
    """A client whose certificate was nobody's is let in as soon as its authority is known, and not before."""
    mine = make_pair(tmp_path, "mine")
    authorities = tmp_path / "authorities.pem"
    renewed = Renewed(tmp_path, tls_client_certificate="required", tls_authorities=str(authorities))
    shutil.copy(renewed.files.certificate, authorities)

    def is_let_in() -> bool:
        context = ssl.create_default_context(cafile=renewed.files.certificate)
        context.load_cert_chain(*mine)
        options = pika.SSLOptions(context, "localhost")
        port = renewed.broker.call(lambda server: server.addresses["amqps"][0][1])
        try:
            pika.BlockingConnection(
                pika.ConnectionParameters(HOST, port, ssl_options=options, connection_attempts=1)
            ).close()
        except pika.exceptions.AMQPConnectionError:
            return False
        return True

    with renewed.broker as broker:
        assert not is_let_in()
        shutil.copy(mine.certificate, authorities)
        assert not is_let_in()
        broker.advance("11s")
        assert is_let_in()
