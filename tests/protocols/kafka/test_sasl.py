"""Logging in: every mechanism, every way in which it can go wrong, and who is let in without."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import struct
from collections.abc import Iterator
from typing import Any

import pytest

from pillarbox import Broker, ManualClock
from pillarbox.broker.auth import Permission, Users, user_with_password
from pillarbox.broker.bearer import Bearer, scopes_of
from pillarbox.broker.outside import Backend, Outside
from pillarbox.broker.scram import MECHANISMS
from pillarbox.protocols.kafka.errors import ErrorCode as Code
from pillarbox.protocols.kafka.sasl import INVALID_TOKEN, LoginRefused, begin, mechanisms
from tests.protocols.kafka.asking import KEYS, Asking, ms

pytestmark = pytest.mark.row("K71")

SECRET = b"secret of this broker"
SCRAMS = sorted(MECHANISMS)


def random(count: int) -> bytes:
    return bytes(range(count))


# --- exchanges, without a socket -----------------------------------------------------------------------


@pytest.fixture(scope="module")
def users() -> Users:
    found = Users(Outside(lambda: 0, lambda again: again(), bytes))
    for name, password in (("jane", "secret"), ("a,b=c", "öä")):
        found.put(user_with_password(name, password, (), random))
    found.by_token = lambda token: Bearer("robot", (), (), 1) if token == b"good" else None
    return found


class ScramClient:
    """The other side, by RFC 5802."""

    def __init__(self, mechanism: str, name: str, password: str, *, header: str = "n,,") -> None:
        self.algorithm = MECHANISMS[mechanism]
        self.password = password
        self.header = header
        self.bare = f"n={name.replace('=', '=3D').replace(',', '=2C')},r=client"

    @property
    def first(self) -> bytes:
        return (self.header + self.bare).encode()

    def final(self, asked: bytes, *, nonce: str | None = None, header: str | None = None) -> bytes:
        self.asked = asked.decode()
        found = re.fullmatch("r=(client.+),s=(.+),i=(.+)", self.asked)
        assert found is not None
        salt, iterations = base64.b64decode(found[2]), int(found[3])
        self.salted = hashlib.pbkdf2_hmac(self.algorithm, self.password.encode(), salt, iterations)
        bound = base64.b64encode((header or self.header).encode()).decode()
        self.without_proof = f"c={bound},r={nonce or found[1]}"
        key = self._digest(self.salted, b"Client Key")
        signature = self._digest(hashlib.new(self.algorithm, key).digest(), self._message)
        proof = bytes(one ^ other for one, other in zip(key, signature, strict=True))
        return f"{self.without_proof},p={base64.b64encode(proof).decode()}".encode()

    @property
    def _message(self) -> bytes:
        return f"{self.bare},{self.asked},{self.without_proof}".encode()

    def _digest(self, key: bytes, message: bytes) -> bytes:
        return hmac.digest(key, message, self.algorithm)

    def trusts(self, answer: bytes) -> bool:
        signature = self._digest(self._digest(self.salted, b"Server Key"), self._message)
        return answer == b"v=" + base64.b64encode(signature)


@pytest.mark.parametrize("mechanism", SCRAMS)
@pytest.mark.parametrize("name", ["jane", "a,b=c"])
def test_scram_lets_in_who_knows_the_password_and_proves_to_know_it_too(
    users: Users, mechanism: str, name: str
) -> None:
    exchange = begin(mechanism, users, random, SECRET)
    client = ScramClient(mechanism, name, {"jane": "secret", "a,b=c": "öä"}[name])
    answer = exchange.respond(client.final(exchange.respond(client.first)))
    assert client.trusts(answer)
    assert exchange.principal is users.by_name[name]


@pytest.mark.parametrize("mechanism", SCRAMS)
@pytest.mark.parametrize(("name", "password"), [("jane", "wrong"), ("nobody", "secret")])
def test_scram_refuses_who_does_not(users: Users, mechanism: str, name: str, password: str) -> None:
    exchange = begin(mechanism, users, random, SECRET)
    client = ScramClient(mechanism, name, password)
    final = client.final(exchange.respond(client.first))
    with pytest.raises(LoginRefused, match="invalid credentials"):
        exchange.respond(final)
    assert exchange.principal is None


def test_scram_refuses_whose_password_is_another_by_the_end(users: Users) -> None:
    """Or who is gone: a client may take its time between the two messages."""
    users.put(user_with_password("june", "secret", (), random))
    exchange = begin(SCRAMS[0], users, random, SECRET)
    client = ScramClient(SCRAMS[0], "june", "secret")
    final = client.final(exchange.respond(client.first))
    users.put(user_with_password("june", "another", (), random))
    with pytest.raises(LoginRefused, match="invalid credentials"):
        exchange.respond(final)


def test_scram_asks_an_unknown_user_the_same_every_time(users: Users) -> None:
    def asked(name: str, secret: bytes = SECRET) -> bytes:
        return begin(SCRAMS[0], users, random, secret).respond(ScramClient(SCRAMS[0], name, "x").first)

    assert asked("nobody") == asked("nobody")
    assert asked("nobody") != asked("noone")
    assert asked("nobody") != asked("nobody", b"another secret")
    assert len(asked("nobody")) == len(asked("jane"))


@pytest.mark.parametrize(
    "first",
    [
        b"",
        b"\xff",
        b"n,,n=jane",
        b"p=tls-unique,,n=jane,r=x",
        b"n,,n=ja=ne,r=x",
        b"n,a=tom,n=jane,r=x",
        b"n,,n=jane,r=with space",
    ],
)
def test_scram_refuses_a_first_message_that_is_none(users: Users, first: bytes) -> None:
    with pytest.raises(LoginRefused):
        begin(SCRAMS[0], users, random, SECRET).respond(first)


@pytest.mark.parametrize("spoiled", ["nonce", "header", "proof", "form", "short"])
def test_scram_refuses_a_final_message_that_does_not_fit(users: Users, spoiled: str) -> None:
    exchange = begin(SCRAMS[0], users, random, SECRET)
    client = ScramClient(SCRAMS[0], "jane", "secret")
    asked = exchange.respond(client.first)
    final = {
        "nonce": lambda: client.final(asked, nonce="client"),
        "header": lambda: client.final(asked, header="y,,"),
        "proof": lambda: client.final(asked).partition(b",p=")[0] + b",p=!",
        "form": lambda: b"c=biws",
        "short": lambda: client.final(asked).partition(b",p=")[0] + b",p=",
    }[spoiled]()
    with pytest.raises(LoginRefused):
        exchange.respond(final)
    assert exchange.principal is None


@pytest.mark.parametrize("said", [b"\0jane\0secret", b"jane\0jane\0secret"])
def test_plain_lets_in_who_knows_the_password(users: Users, said: bytes) -> None:
    exchange = begin("PLAIN", users, random, SECRET)
    assert exchange.respond(said) == b""
    assert exchange.principal is users.by_name["jane"]


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"jane",
        b"\0jane",
        b"\0jane\0",
        b"\0\0secret",
        b"\0jane\0wrong",
        b"\0nobody\0secret",
        b"tom\0jane\0secret",
        b"\0jane\0secret\0",
        b"\0\xff\0secret",
    ],
)
def test_plain_refuses_who_does_not(users: Users, said: bytes) -> None:
    exchange = begin("PLAIN", users, random, SECRET)
    with pytest.raises(LoginRefused):
        exchange.respond(said)
    assert exchange.principal is None


def test_a_token_says_who_its_bearer_is(users: Users) -> None:
    for said in (
        b"n,,\x01auth=Bearer good\x01\x01",
        b"n,a=robot,\x01host=h\x01auth=Bearer good\x01traceId=7\x01\x01",
    ):
        exchange = begin("OAUTHBEARER", users, random, SECRET)
        assert exchange.respond(said) == b""
        assert exchange.principal is not None
        assert exchange.principal.name == "robot"


def test_a_bad_token_is_refused_in_two_steps(users: Users) -> None:
    exchange = begin("OAUTHBEARER", users, random, SECRET)
    assert exchange.respond(b"n,,\x01auth=Bearer bad\x01\x01") == INVALID_TOKEN
    assert exchange.principal is None
    with pytest.raises(LoginRefused):
        exchange.respond(b"\x01")


@pytest.mark.parametrize("said", [b"", b"n,,", b"n,a=tom,\x01auth=Bearer good\x01\x01", b"\x01"])
def test_what_is_no_token_is_refused(users: Users, said: bytes) -> None:
    exchange = begin("OAUTHBEARER", users, random, SECRET)
    with pytest.raises(LoginRefused):
        exchange.respond(said)
    assert exchange.principal is None


def test_tokens_are_offered_where_they_are_configured() -> None:
    found = Users(Outside(lambda: 0, lambda again: again(), bytes))
    assert mechanisms(found) == ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")
    found.backends = (Backend("internal", "internal"), Backend("oauth2", "oauth2"))
    assert mechanisms(found)[-1] == "OAUTHBEARER"


# --- over a socket -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def closed_broker() -> Iterator[Broker]:
    """One where everybody has to log in."""
    with Broker(kafka_port=0, kafka_anonymous_user="none") as running:

        def add(server: Any) -> None:
            core = server.core
            core.add_user("jane", "secret")
            core.set_permission(Permission("jane", "/", configure=".*", write=".*", read=".*"))
            core.add_user("stranger", "secret")

        running.call(add)
        yield running


@pytest.fixture
def asking(closed_broker: Broker) -> Iterator[Asking]:
    with Asking(closed_broker.kafka_bootstrap) as client:
        yield client


def authenticate(client: Asking, said: bytes, version: int = 2) -> Any:
    return client.ask("SaslAuthenticate", version, auth_bytes=said)


def users_connected(broker: Broker) -> list[str]:
    return broker.call(lambda server: [session.user.name for session in server.core.sessions])


@pytest.mark.parametrize("version", range(3))
def test_a_client_logs_in_by_plain(closed_broker: Broker, asking: Asking, version: int) -> None:
    handshake = asking.ask("SaslHandshake", 1, mechanism="PLAIN")
    assert handshake.error_code.value == Code.NONE
    assert handshake.mechanisms == ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")
    answer = authenticate(asking, b"\0jane\0secret", version)
    assert (answer.error_code.value, answer.error_message, answer.auth_bytes) == (Code.NONE, None, b"")
    if version:
        assert ms(answer.session_lifetime) == 0
    assert asking.ask("DescribeCluster", 0).error_code.value == Code.NONE
    assert "jane" in users_connected(closed_broker)


@pytest.mark.parametrize("mechanism", SCRAMS)
def test_a_client_logs_in_by_scram(asking: Asking, mechanism: str) -> None:
    client = ScramClient(mechanism, "jane", "secret")
    asking.ask("SaslHandshake", 1, mechanism=mechanism)
    asked = authenticate(asking, client.first)
    assert asked.error_code.value == Code.NONE
    assert client.trusts(authenticate(asking, client.final(asked.auth_bytes)).auth_bytes)
    assert asking.ask("DescribeCluster", 0).error_code.value == Code.NONE


@pytest.mark.row("K75")
@pytest.mark.parametrize("said", [b"\0jane\0wrong", b"\0nobody\0secret", b"\0stranger\0secret", b"?"])
def test_a_login_that_fails_is_told_so_and_the_connection_is_closed(asking: Asking, said: bytes) -> None:
    asking.ask("SaslHandshake", 1, mechanism="PLAIN")
    answer = authenticate(asking, said)
    assert answer.error_code.value == Code.SASL_AUTHENTICATION_FAILED
    assert "Authentication failed" in answer.error_message
    assert asking.is_closed


@pytest.mark.row("K75")
def test_a_mechanism_that_is_not_offered_is_answered_with_those_that_are(asking: Asking) -> None:
    answer = asking.ask("SaslHandshake", 1, mechanism="GSSAPI")
    assert answer.error_code.value == Code.UNSUPPORTED_SASL_MECHANISM
    assert "PLAIN" in answer.mechanisms
    assert asking.is_closed


@pytest.mark.row("K75")
def test_a_login_that_has_not_begun_does_not_go_on(asking: Asking) -> None:
    answer = authenticate(asking, b"\0jane\0secret")
    assert answer.error_code.value == Code.ILLEGAL_SASL_STATE
    assert asking.is_closed


def test_without_a_login_only_the_offer_of_versions_is_answered(asking: Asking) -> None:
    who = {"client_software_name": "test", "client_software_version": "1"}
    assert asking.ask("ApiVersions", 4, **who).error_code.value == Code.NONE
    with pytest.raises(ConnectionError):
        asking.ask("Metadata", 12, topics=None)


def test_after_the_oldest_handshake_the_login_comes_without_headers(asking: Asking) -> None:
    asking.ask("SaslHandshake", 0, mechanism="PLAIN")
    asking.send_bare(b"\0jane\0secret")
    assert asking.take_bare() == b""
    assert asking.ask("DescribeCluster", 0).error_code.value == Code.NONE


@pytest.mark.parametrize(
    "said", [struct.pack(">i", 3) + b"bad", struct.pack(">i", -1), struct.pack(">i", 1 << 30)]
)
def test_a_login_without_headers_that_fails_closes_the_connection(asking: Asking, said: bytes) -> None:
    asking.ask("SaslHandshake", 0, mechanism="PLAIN")
    asking.send_raw(said)
    assert asking.is_closed


def test_a_login_without_headers_may_come_in_any_pieces(asking: Asking) -> None:
    client = ScramClient(SCRAMS[0], "jane", "secret")
    asking.ask("SaslHandshake", 0, mechanism=SCRAMS[0])
    for byte in struct.pack(">i", len(client.first)) + client.first:
        asking.send_raw(bytes([byte]))
    asking.send_bare(client.final(asking.take_bare()))
    assert client.trusts(asking.take_bare())
    assert asking.ask("DescribeCluster", 0).error_code.value == Code.NONE


def test_who_has_logged_in_may_do_so_again_as_the_same(asking: Asking) -> None:
    for said, code in (
        (b"\0jane\0secret", Code.NONE),
        (b"\0jane\0secret", Code.NONE),
        (b"\0guest\0guest", Code.SASL_AUTHENTICATION_FAILED),
    ):
        asking.ask("SaslHandshake", 1, mechanism="PLAIN")
        assert authenticate(asking, said).error_code.value == code
    assert asking.is_closed


def test_who_is_let_in_without_a_login_may_log_in_first_but_not_later(broker: Broker) -> None:
    with Asking(broker.kafka_bootstrap) as client:
        client.ask("SaslHandshake", 1, mechanism="PLAIN")
        assert authenticate(client, b"\0guest\0guest").error_code.value == Code.NONE
    with Asking(broker.kafka_bootstrap) as client:
        client.ask("DescribeCluster", 0)
        answer = client.ask("SaslHandshake", 1, mechanism="PLAIN")
        assert answer.error_code.value == Code.ILLEGAL_SASL_STATE
        assert client.is_closed


def test_who_has_no_permission_in_the_virtual_host_is_not_let_in() -> None:
    with Broker(kafka_port=0, kafka_anonymous_user="nobody") as broker:
        with Asking(broker.kafka_bootstrap) as client, pytest.raises(ConnectionError):
            client.ask("Metadata", 12, topics=None)
        broker.call(lambda server: server.core.add_user("nobody", "x"))
        with Asking(broker.kafka_bootstrap) as client, pytest.raises(ConnectionError):
            client.ask("Metadata", 12, topics=None)


def test_a_user_of_this_machine_is_refused_from_elsewhere(closed_broker: Broker) -> None:
    def connect(server: Any) -> Any:
        from pillarbox.protocols.kafka.head import Head, Settings

        return Head(server.core, Settings(anonymous="")).connect("192.0.2.1:5 -> 192.0.2.2:9092", False)

    def refused(server: Any) -> str:
        from pillarbox.protocols.kafka.login import Login

        login = Login(connect(server), "PLAIN")
        with pytest.raises(LoginRefused) as told:
            login.respond(b"\0guest\0guest")
        return str(told.value)

    assert "from this machine" in closed_broker.call(refused)


def test_a_token_ends_the_connection_when_it_is_over_unless_it_is_renewed() -> None:
    clock = ManualClock()
    with Broker(kafka_port=0, kafka_anonymous_user="none", clock=clock) as broker:
        rights = scopes_of(["read:*/*", "write:*/*", "configure:*/*"])

        def trust(server: Any) -> None:
            users = server.core.users
            users.backends = (Backend("internal", "internal"), Backend("oauth2", "oauth2"))
            now = server.core.changes.now_ms
            spans = {b"short": 60_000, b"long": 600_000}
            users.by_token = lambda token: Bearer("robot", (), rights, now + spans[token])

        broker.call(trust)
        with Asking(broker.kafka_bootstrap) as client:
            lifetimes = []
            for token in (b"short", b"long"):
                client.ask("SaslHandshake", 1, mechanism="OAUTHBEARER")
                answer = authenticate(client, b"n,,\x01auth=Bearer " + token + b"\x01\x01")
                lifetimes.append(ms(answer.session_lifetime))
            assert lifetimes == [60_000, 600_000]
            broker.advance("2m")
            assert client.ask("DescribeCluster", 0).error_code.value == Code.NONE
            broker.advance("8m")
            assert client.is_closed


def test_passwords_and_tokens_are_offered_under_the_newest_versions_of_kafka(asking: Asking) -> None:
    who = {"client_software_name": "test", "client_software_version": "1"}
    offered = {each.api_key: each.max_version for each in asking.ask("ApiVersions", 3, **who).api_keys}
    assert (offered[KEYS["SaslHandshake"]], offered[KEYS["SaslAuthenticate"]]) == (1, 2)


@pytest.mark.row("R15")
def test_who_finds_no_place_is_not_let_in() -> None:
    with Broker(kafka_port=0, connection_max=1) as broker, Asking(broker.kafka_bootstrap) as client:
        client.ask("DescribeCluster", 0)
        with Asking(broker.kafka_bootstrap) as another:
            another.ask("ApiVersions", 3)
            with pytest.raises(ConnectionError):
                another.ask("DescribeCluster", 0)
        with Asking(broker.kafka_bootstrap) as another:
            another.ask("SaslHandshake", 1, mechanism="PLAIN")
            answer = authenticate(another, b"\0guest\0guest")
            assert answer.error_code.value == Code.SASL_AUTHENTICATION_FAILED
            assert "node connection limit (1) is reached" in answer.error_message
