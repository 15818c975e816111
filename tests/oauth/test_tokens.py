"""Tokens: which are believed, and what they say (R8)."""

from __future__ import annotations

import asyncio
import base64
import hmac
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from joserfc.jwk import RSAKey

from pillarbox.broker.bearer import Scope
from pillarbox.errors import StartupError
from pillarbox.oauth import keys
from pillarbox.oauth.keys import KeyRing
from pillarbox.oauth.tokens import TokenBackend, TokenError, TokenReader
from tests.oauth.issuer import AUDIENCE, curve_key, key, key_set, published, token, write_keys

pytestmark = pytest.mark.row("R8")

NOW_S = 1_700_000_000
LATER = NOW_S + 60


@pytest.fixture
def ring(tmp_path: Path) -> KeyRing:
    return KeyRing([write_keys(tmp_path)])


def read(ring: KeyRing, text: str | bytes, **options: Any) -> Any:
    reader = TokenReader(ring, audience=AUDIENCE, **options)
    return reader.read(text.encode() if isinstance(text, str) else text, NOW_S * 1000)


def test_token_gives_name_rights_tags_and_time(ring: KeyRing) -> None:
    who = read(ring, token("read:*/q", "tag:management", expires_s=LATER))
    assert who == ("robot", ("management",), (Scope("read", "*", "q", "*"),), LATER * 1000)


def test_scopes_of_others_give_nothing(ring: KeyRing) -> None:
    who = read(
        ring, token(expires_s=LATER, scope="other.read:*/* rabbitmq.write:*/* read:*/* rabbitmqread:*/*")
    )
    assert [scope.action for scope in who.scopes] == ["write"]


def test_prefix_may_be_another(ring: KeyRing) -> None:
    text = token(expires_s=LATER, scope="api://x/read:*/* rabbitmq.write:*/*")
    assert [scope.action for scope in read(ring, text, prefix="api://x/").scopes] == ["read"]


@pytest.mark.parametrize(
    "claims",
    [
        {"roles": ["rabbitmq.write:*/*"]},
        {"roles": "rabbitmq.write:*/* openid"},
        {"roles": {"rabbitmq": ["write:*/*"], "other": ["configure:*/*"]}},
        {"roles": {"rabbitmq": "write:*/*"}},
    ],
    ids=str,
)
def test_scopes_come_from_further_claims_too(ring: KeyRing, claims: dict[str, Any]) -> None:
    text = token("read:*/*", expires_s=LATER, **claims)
    who = read(ring, text, additional_scopes=("missing.too", "roles"))
    assert [scope.action for scope in who.scopes] == ["read", "write"]
    nested = token("read:*/*", expires_s=LATER, realm={"access": claims["roles"]})
    assert len(read(ring, nested, additional_scopes=("realm.access",)).scopes) == 2


def test_claims_stand_in_for_their_names_in_scopes(ring: KeyRing) -> None:
    """A claim counts literally: a token's holder who may choose one gets no wildcard by it."""
    who = read(ring, token("read:*/{sub}-{n}-{none}-{vhost}", expires_s=LATER, sub="a*/b", n=5))
    assert who.scopes == (Scope("read", "*", "a%2A%2Fb-{n}-{none}-{vhost}", "*"),)
    assert who.allows("v", "read", "a*/b-{n}-{none}-v")
    assert not who.allows("v", "read", "axx/b-{n}-{none}-v")


@pytest.mark.parametrize(
    ("claims", "preferred", "name"),
    [
        ({}, (), "robot"),
        ({"sub": None, "client_id": "c"}, (), "c"),
        ({"sub": None}, (), "unknown"),
        ({"user_name": "alice"}, ("email", "user_name"), "alice"),
        ({"user_name": 5}, ("user_name",), "robot"),
    ],
)
def test_name_is_the_first_of_the_preferred_claims(
    ring: KeyRing, claims: dict[str, Any], preferred: tuple[str, ...], name: str
) -> None:
    assert read(ring, token(expires_s=LATER, **claims), name_claims=preferred).name == name


def test_key_of_an_elliptic_curve_signs_as_well(ring: KeyRing) -> None:
    assert read(ring, token(expires_s=LATER, signed_by=curve_key())).name == "robot"


@pytest.mark.parametrize(
    ("claims", "complaint"),
    [
        ({"expires_s": NOW_S}, f"has expired at timestamp {NOW_S} .validated at {NOW_S}"),
        ({"expires_s": None}, "has no exp claim"),
        ({"expires_s": "soon"}, "has an invalid exp claim: value is not a number"),
        ({"expires_s": True}, "has an invalid exp claim"),
        ({"expires_s": LATER, "nbf": LATER}, "is not valid yet"),
        ({"expires_s": LATER, "aud": "other"}, "invalid audience: it must have rabbitmq"),
        ({"expires_s": LATER, "aud": None}, "invalid audience"),
        ({"expires_s": LATER, "aud": {"rabbitmq": 1}}, "invalid audience"),
        ({"expires_s": LATER, "iss": "https://other"}, "invalid issuer"),
        ({"expires_s": LATER, "scope": [f"rabbitmq.{n}" for n in range(2049)]}, "too many scopes"),
    ],
    ids=str,
)
def test_claims_that_do_not_fit_are_refused(ring: KeyRing, claims: dict[str, Any], complaint: str) -> None:
    text = token(**{"iss": "https://issuer", **claims})
    with pytest.raises(TokenError, match=complaint):
        read(ring, text, issuer="https://issuer")


def test_audience_need_not_be_looked_at(ring: KeyRing) -> None:
    assert read(ring, token(expires_s=LATER, aud=None), verify_audience=False).name == "robot"
    assert read(ring, token(expires_s=LATER, aud="x rabbitmq")).name == "robot"


def encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def parts() -> list[str]:
    return token("read:*/*", expires_s=LATER).split(".")


def with_public_key_as_secret() -> str:
    """Believed by those who let a token choose how it is checked: everybody knows the public key."""
    signed = encoded(b'{"alg":"HS256","kid":"one"}') + "." + parts()[1]
    secret = key().as_pem(private=False)
    return f"{signed}.{encoded(hmac.digest(secret, signed.encode(), 'sha256'))}"


FORGED: dict[str, Callable[[], str | bytes]] = {
    "nothing": lambda: "..",
    "no JSON": lambda: "a.b.c",
    "no base64": lambda: ".".join([*parts()[:2], "\xff"]).encode("latin-1"),
    "no signature": lambda: ".".join([*parts()[:2], ""]),
    "algorithm none": lambda: encoded(b'{"alg":"none","kid":"one"}') + "." + parts()[1] + ".",
    "another body": lambda: ".".join(
        [parts()[0], token(expires_s=LATER, sub="root").split(".")[1], parts()[2]]
    ),
    "another's key of this id": lambda: token(
        expires_s=LATER, signed_by=RSAKey.generate_key(2048, parameters={"kid": "one"})
    ),
    "unknown key": lambda: token(expires_s=LATER, signed_by=key("two")),
    "no key id": lambda: token(expires_s=LATER, header={"kid": None}),
    "public key as a secret": with_public_key_as_secret,
    "too large": lambda: token(expires_s=LATER, padding="x" * 70_000),
    "deep": lambda: ".".join([parts()[0], encoded(b"[" * 20_000), parts()[2]]),
}


@pytest.mark.parametrize("what", FORGED)
def test_token_that_nobody_known_has_signed_is_refused(ring: KeyRing, what: str) -> None:
    text = FORGED[what]()
    with pytest.raises(TokenError) as refused:
        read(ring, text)
    assert str(refused.value) == "provided token is invalid"


def test_operator_is_told_why_and_not_what(ring: KeyRing) -> None:
    told: list[str] = []
    backend = TokenBackend(TokenReader(ring, audience=AUDIENCE), lambda: NOW_S * 1000, told.append)
    assert backend(b"guest") is None
    assert told == []
    expired = token(expires_s=1)
    assert backend(expired.encode()) is None
    assert told == [
        "Authentication using an OAuth 2/JWT token failed: Provided JWT token has expired at timestamp 1 "
        f"(validated at {NOW_S})"
    ]
    good = backend(token(expires_s=LATER).encode())
    assert good is not None
    assert len(told) == 1


# --- keys ---------------------------------------------------------------------------------------------------


def test_one_key_as_pem_serves_tokens_with_its_id_or_none(tmp_path: Path) -> None:
    for signer in (key(), curve_key()):
        file = tmp_path / "key.pem"
        file.write_bytes(signer.as_pem(private=False))
        nameless, named = KeyRing([str(file)]), KeyRing([f"{signer.kid}={file}"])
        text = token(expires_s=LATER, signed_by=signer)
        assert read(named, text).name == "robot"
        assert read(nameless, token(expires_s=LATER, signed_by=signer, header={"kid": None})).name == "robot"
        with pytest.raises(TokenError):
            read(nameless, text)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("nonsense", "this is no JWK set"),
        ("{}", "this is no JWK set"),
        ('{"keys": 5}', "there is no key to check signatures with"),
        ('{"keys": [{"kty": "moon"}, 5]}', "there is no key to check signatures with"),
        ("-----BEGIN PUBLIC KEY-----\nx\n-----END PUBLIC KEY-----\n", "holds no public key"),
    ],
)
def test_file_without_keys_is_named(tmp_path: Path, text: str, complaint: str) -> None:
    file = tmp_path / "keys.json"
    file.write_text(text)
    with pytest.raises(StartupError, match=complaint):
        KeyRing([str(file)])
    with pytest.raises(StartupError, match=r"oauth_keys: cannot read .*missing: No such file"):
        KeyRing([str(tmp_path / "missing")])


def test_keys_are_fetched_and_changes_are_taken_over(tmp_path: Path) -> None:
    documents = {"/keys": key_set(key())}
    told: list[str] = []

    async def scenario() -> None:
        with published(documents) as address:
            ring = KeyRing([f"{address}/keys", write_keys(tmp_path, curve_key())], warn=told.append)
            await ring.start()
            assert set(ring.by_id) == {"one", "curve"}
            documents["/keys"] = key_set(key("two"))
            with pytest.raises(KeyError):
                ring.find("two")
            await ring._refresh()
            assert set(ring.by_id) == {"two", "curve"}
            assert told == []
            del documents["/keys"]
            await ring._refresh()
            assert set(ring.by_id) == {"two", "curve"}
            ring.stop()

    asyncio.run(scenario())
    (sentence,) = told
    assert "cannot be fetched" in sentence
    assert "404" in sentence


@pytest.mark.parametrize(
    "answer",
    [
        b"this is no HTTP\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n" + b"[" * 100_000,
        b'HTTP/1.1 200 OK\r\n\r\n{"jwks_uri": 5}',
        b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{",
    ],
    ids=["no HTTP", "deep", "no address", "cut"],
)
@pytest.mark.parametrize("names_keys", [True, False], ids=["keys", "issuer"])
def test_whatever_an_issuer_answers_it_is_asked_again(answer: bytes, names_keys: bool) -> None:
    told: list[str] = []

    async def say(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await writer.drain()
        writer.close()

    async def scenario() -> None:
        server = await asyncio.start_server(say, "127.0.0.1", 0)
        async with server:
            address = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            ring = KeyRing(
                [f"{address}/keys"] if names_keys else [],
                issuer="" if names_keys else address,
                warn=told.append,
            )
            await ring.start()
            assert ring._timer is not None
            ring.stop()

    asyncio.run(scenario())
    (sentence,) = told
    assert "cannot be fetched" in sentence


def test_unknown_key_has_the_set_fetched_sooner_but_not_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        with published({"/keys": key_set(key())}) as address:
            ring = KeyRing([f"{address}/keys"])
            await ring.start()
            now = asyncio.get_running_loop().time()
            assert ring._timer is not None
            assert ring._timer.when() == pytest.approx(now + keys.FETCH_S, abs=2)
            for _ in range(3):
                with pytest.raises(KeyError):
                    ring.find("unknown")
                assert ring._timer.when() == pytest.approx(now + keys.FETCH_SOON_S, abs=2)
            ring.stop()

    asyncio.run(scenario())


def test_issuer_is_asked_where_its_keys_are() -> None:
    documents: dict[str, str] = {}
    with published(documents) as address:
        documents["/realm/.well-known/openid-configuration"] = json.dumps({"jwks_uri": f"{address}/keys"})
        documents["/keys"] = key_set(key())
        assert set(KeyRing([], issuer=f"{address}/realm/").fetch_all()) == {"one"}
        documents["/realm/.well-known/openid-configuration"] = "[]"
        with pytest.raises(ValueError, match="does not say where its keys are"):
            KeyRing([], issuer=f"{address}/realm").fetch_all()


@pytest.mark.parametrize("url", ["http://example.org/keys", "file:///etc/passwd", "ftp://localhost/keys"])
def test_keys_come_by_https_alone(url: str) -> None:
    with pytest.raises(ValueError, match="must begin with https://"):
        KeyRing([url]).fetch_all()
