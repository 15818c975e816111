"""TLS from the other side: certificates of clients, EXTERNAL, and names that clients ask for (R6, R14).

An authority, its clients and servers are made by the `openssl` command when the tests begin.
"""

from __future__ import annotations

import shutil
import socket
import ssl
import subprocess
from pathlib import Path
from typing import Any, NamedTuple

import pika
import pika.credentials
import pika.exceptions
import pytest

from pillarbox import Broker
from pillarbox.broker.auth import Permission
from pillarbox.config import Config, ConfigError
from pillarbox.net.certificates import distinguished_name, user_of
from tests.clients.raw_client import PROTOCOL_HEADER
from tests.hostile.test_tls import OPENSSL, TIMEOUT_S, Pair, make_pair, serve

HOST = "127.0.0.1"
SUBJECT = "/C=DE/O=Example, Ltd/CN=shop"
DISTINGUISHED = "CN=shop,O=Example\\, Ltd,C=DE"
ALTERNATIVES = "DNS:shop.example,DNS:second.example,email:shop@example.org,IP:192.0.2.7,URI:urn:shop"

pytestmark = pytest.mark.skipif(OPENSSL is None, reason="no openssl command to make certificates with")


class Authority(NamedTuple):
    own: Pair
    folder: Path

    def sign(self, name: str, subject: str, alternatives: str) -> Pair:
        pair = Pair(str(self.folder / f"{name}.pem"), str(self.folder / f"{name}-key.pem"))
        kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "30"]
        signer = ["-CA", self.own.certificate, "-CAkey", self.own.key]
        names = ["-subj", subject, "-addext", f"subjectAltName={alternatives}"]
        ends = [
            "-addext",
            "basicConstraints=critical,CA:FALSE",
            "-out",
            pair.certificate,
            "-keyout",
            pair.key,
        ]
        command = [str(shutil.which("openssl")), "req", "-x509", *kind, *signer, *names, *ends]
        subprocess.run(command, check=True, capture_output=True, timeout=TIMEOUT_S)
        return pair


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    folder = tmp_path_factory.mktemp("certificates")
    return Authority(make_pair(folder, "authority"), folder)


@pytest.fixture(scope="module")
def server(authority: Authority) -> Pair:
    return authority.sign("server", "/CN=localhost", "DNS:localhost")


@pytest.fixture(scope="module")
def client(authority: Authority) -> Pair:
    return authority.sign("client", SUBJECT, ALTERNATIVES)


def broker_with(authority: Authority, server: Pair, **options: Any) -> Broker:
    options.setdefault("tls_client_certificate", "optional")
    return Broker(
        tls_port=0,
        tls_certificate=server.certificate,
        tls_key=server.key,
        tls_authorities=authority.own.certificate,
        **options,
    )


def add_users(broker: Broker, *names: str) -> None:
    def add(running: Any) -> None:
        for name in names:
            running.core.add_user(name, "unused")
            running.core.set_permission(Permission(name, "/", ".*", ".*", ".*"))

    broker.call(add)


def context_of(authority: Authority, client: Pair | None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=authority.own.certificate)
    if client is not None:
        context.load_cert_chain(*client)
    return context


def port_of(broker: Broker) -> int:
    return broker.call(lambda running: running.addresses["amqps"][0][1])


def connect(broker: Broker, context: ssl.SSLContext, credentials: Any = None) -> pika.BlockingConnection:
    return pika.BlockingConnection(
        pika.ConnectionParameters(
            HOST,
            port_of(broker),
            ssl_options=pika.SSLOptions(context, "localhost"),
            credentials=credentials or pika.credentials.ExternalCredentials(),
        )
    )


def logged_in(broker: Broker) -> list[str]:
    return broker.call(lambda running: [session.user.name for session in running.core.sessions])


@pytest.mark.row("R6", "R14")
@pytest.mark.parametrize(
    ("options", "user"),
    [
        ({}, DISTINGUISHED),
        ({"tls_login_from": "common_name"}, "shop"),
        ({"tls_login_from": "subject_alternative_name"}, "shop.example"),
        ({"tls_login_from": "subject_alternative_name", "tls_login_san_index": 1}, "second.example"),
        ({"tls_login_from": "subject_alternative_name", "tls_login_san_type": "email"}, "shop@example.org"),
        ({"tls_login_from": "subject_alternative_name", "tls_login_san_type": "ip"}, "192.0.2.7"),
        ({"tls_login_from": "subject_alternative_name", "tls_login_san_type": "uri"}, "urn:shop"),
    ],
    ids=lambda value: str(value),
)
def test_certificate_logs_in_the_user_that_it_names(
    authority: Authority, server: Pair, client: Pair, options: dict[str, Any], user: str
) -> None:
    """R6: no password is asked for; the user has the rights of that name."""
    with broker_with(authority, server, **options) as broker:
        add_users(broker, user)
        with connect(broker, context_of(authority, client)) as connection:
            connection.channel().queue_declare("q", exclusive=True)
            assert logged_in(broker) == [user]


@pytest.mark.row("R6", "R7")
def test_certificate_of_somebody_who_is_no_user_is_refused(
    authority: Authority, server: Pair, client: Pair
) -> None:
    """R6: and the text is that of any login that fails."""
    with (
        broker_with(authority, server) as broker,
        pytest.raises(pika.exceptions.ProbableAuthenticationError) as caught,
    ):
        connect(broker, context_of(authority, client))
    assert (
        "ACCESS_REFUSED - Login was refused using authentication mechanism EXTERNAL. "
        "For details see the broker logfile."
    ) in str(caught.value)


def mechanisms(broker: Broker, context: ssl.SSLContext) -> bytes:
    """The mechanisms that connection.start offers, as they stand in its first bytes."""
    with (
        socket.create_connection((HOST, port_of(broker)), timeout=TIMEOUT_S) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as wrapped,
    ):
        wrapped.sendall(PROTOCOL_HEADER)
        data = b""
        while b"en_US" not in data:
            data += wrapped.recv(4096)
        return data[data.index(b"PLAIN") : data.index(b"en_US") - 4]


@pytest.mark.row("R6", "R2")
def test_external_is_offered_to_those_who_have_a_certificate(
    authority: Authority, server: Pair, client: Pair
) -> None:
    with broker_with(authority, server) as broker:
        assert mechanisms(broker, context_of(authority, client)) == b"PLAIN AMQPLAIN EXTERNAL"
        assert mechanisms(broker, context_of(authority, None)) == b"PLAIN AMQPLAIN"
    with broker_with(authority, server, auth_mechanisms=("PLAIN",)) as broker:
        assert mechanisms(broker, context_of(authority, client)) == b"PLAIN"


@pytest.mark.row("R6")
def test_external_without_a_certificate_is_refused(authority: Authority, server: Pair) -> None:
    """Also for a user whose name is empty, or on a connection without TLS."""
    with broker_with(authority, server) as broker:
        add_users(broker, "")
        with pytest.raises(pika.exceptions.AMQPConnectionError):
            connect(broker, context_of(authority, None))
        parameters = pika.ConnectionParameters(
            HOST, broker.amqp_port, credentials=pika.credentials.ExternalCredentials()
        )
        with pytest.raises(pika.exceptions.AMQPConnectionError):
            pika.BlockingConnection(parameters)
        assert logged_in(broker) == []


@pytest.mark.row("R14")
def test_nobody_connects_without_the_certificate_that_is_required(
    authority: Authority, server: Pair, client: Pair
) -> None:
    """R14: fail_if_no_peer_cert. Who has one may still log in with a password."""
    with broker_with(authority, server, tls_client_certificate="required") as broker:
        password = pika.PlainCredentials("guest", "guest")
        with pytest.raises((pika.exceptions.AMQPConnectionError, ssl.SSLError, ConnectionError)):
            connect(broker, context_of(authority, None), password)
        with connect(broker, context_of(authority, client), password):
            assert logged_in(broker) == ["guest"]


@pytest.mark.row("R14")
def test_certificate_of_another_authority_is_refused(authority: Authority, server: Pair) -> None:
    """R14: with `optional` too: none is fine, a wrong one is not."""
    stranger = make_pair(authority.folder, "stranger")
    with (
        broker_with(authority, server) as broker,
        pytest.raises((pika.exceptions.AMQPConnectionError, ssl.SSLError, ConnectionError)),
    ):
        connect(broker, context_of(authority, stranger), pika.PlainCredentials("guest", "guest"))


@pytest.mark.row("R14")
@pytest.mark.parametrize(
    ("asked", "got"),
    [
        ("shop.example", "shop"),
        ("SHOP.example", "shop"),
        ("a.wild.example", "wild"),
        ("a.b.wild.example", "server"),
        ("localhost", "server"),
        (None, "server"),
    ],
)
def test_client_gets_the_certificate_of_the_name_that_it_asks_for(
    authority: Authority, server: Pair, asked: str | None, got: str
) -> None:
    """R14: SNI; who asks for something else gets the first certificate."""
    pairs = {"server": server, "shop": authority.sign("shop", "/CN=a", "DNS:shop.example")}
    pairs["wild"] = authority.sign("wild", "/CN=b", "DNS:*.wild.example")
    sni = tuple(
        f"{name}={pairs[which].certificate}:{pairs[which].key}"
        for name, which in (("shop.example", "shop"), ("*.wild.example", "wild"))
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with (
        broker_with(authority, server, tls_sni=sni) as broker,
        socket.create_connection((HOST, port_of(broker)), timeout=TIMEOUT_S) as plain,
        context.wrap_socket(plain, server_hostname=asked) as wrapped,
    ):
        expected = ssl.PEM_cert_to_DER_cert(Path(pairs[got].certificate).read_text())
        assert wrapped.getpeercert(binary_form=True) == expected


# Names in certificates ----------------------------------------------------------------------------------


@pytest.mark.row("R6")
def test_distinguished_name_is_escaped_as_in_rfc_4514() -> None:
    subject = (
        (("organizationName", "#a"),),
        (("commonName", ' x,+"\\<>; '), ("userId", "u")),
        (("1.2.3", "odd"),),
    )
    assert distinguished_name(subject) == '1.2.3=odd,CN=\\ x\\,\\+\\"\\\\\\<\\>\\;\\ +UID=u,O=\\#a'


@pytest.mark.row("R6")
@pytest.mark.parametrize("certificate", [None, {}, {"subject": (), "subjectAltName": ()}])
@pytest.mark.parametrize("login_from", ["distinguished_name", "common_name", "subject_alternative_name"])
def test_certificate_without_a_name_speaks_for_nobody(certificate: Any, login_from: str) -> None:
    assert user_of(certificate, login_from=login_from) is None


# What cannot be used ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"tls_client_certificate": "required"}, "needs tls_authorities to check against"),
        ({"tls_sni": ("shop.example",)}, 'tls_sni must be NAME=CERTIFICATE:KEY, not "shop.example"'),
        ({"auth_mechanisms": ("PLAIN", "KERBEROS")}, "auth_mechanisms must be of .*, not KERBEROS"),
    ],
)
def test_options_that_say_nothing_whole_are_refused(options: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        Config(**options)


def test_authorities_that_cannot_be_used_are_named(server: Pair, tmp_path: Path) -> None:
    own = ("--tls-certificate", server.certificate, "--tls-key", server.key)
    noise = tmp_path / "noise.pem"
    noise.write_text("nothing")
    for path, told in (
        (str(noise), f"cannot use the TLS authorities {noise}: it must be a PEM file"),
        (str(tmp_path / "missing"), f"cannot read the TLS authorities {tmp_path / 'missing'}: No such file"),
    ):
        done = serve(*own, "--tls-client-certificate", "required", "--tls-authorities", path)
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
        assert told in done.stderr
