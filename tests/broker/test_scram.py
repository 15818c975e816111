"""SCRAM verifiers of users (R94): what is kept of a password, goes out with definitions and comes back."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from typing import Any

import msgspec
import pytest
from broker_tools import Domain

from pillarbox.broker import definitions as kept
from pillarbox.broker import scram
from pillarbox.broker.auth import User
from pillarbox.broker.export_definitions import export_definitions
from pillarbox.broker.import_definitions import DefinitionsError, import_definitions

pytestmark = pytest.mark.row("R94")


def test_published_exchange_is_proven_by_the_verifier() -> None:
    """The example of RFC 7677, section 3: the client's proof fits, and the server's signature is as there."""
    verifier = scram.derive("SCRAM-SHA-256", "pencil", base64.b64decode("W22ZaJ0SNY7soEsUEjb6gQ=="))
    message = (
        b"n=user,r=rOprNGfwEbeRWgbNEkqO,"
        b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,"
        b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
    )
    proof = base64.b64decode("dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=")
    signature = hmac.digest(verifier.stored_key, message, "sha256")
    client_key = bytes(one ^ other for one, other in zip(proof, signature, strict=True))
    assert hashlib.sha256(client_key).digest() == verifier.stored_key
    answer = base64.b64encode(hmac.digest(verifier.server_key, message, "sha256"))
    assert answer == b"6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="


@pytest.mark.parametrize("mechanism", scram.MECHANISMS)
def test_another_password_has_other_keys(mechanism: str) -> None:
    one, same, other = (scram.derive(mechanism, text, b"salt") for text in ("secret", "secret", "Secret"))
    assert one == same
    assert (one.stored_key, one.server_key) != (other.stored_key, other.server_key)


def test_password_in_clear_gives_every_verifier_with_a_salt_of_its_own() -> None:
    user = Domain().core.add_user("alice", "secret")
    assert [one.mechanism for one in user.scram] == list(scram.MECHANISMS)
    assert len({one.salt for one in user.scram}) == 2
    assert all(one == scram.derive(one.mechanism, "secret", one.salt) for one in user.scram)


def test_users_that_were_kept_before_there_were_verifiers_are_read() -> None:
    before = {"name": "u", "password_hash": "h", "hashing_algorithm": "a", "tags": ["t"]}
    assert kept.decode("user", msgspec.msgpack.encode(before)) == User("u", "h", "a", ("t",))


def through_json(domain: Domain) -> Any:
    return json.loads(json.dumps(export_definitions(domain.core, "3.13.7")))


def test_verifiers_go_out_and_come_in_with_definitions() -> None:
    domain, other = Domain(), Domain()
    alice = domain.core.add_user("alice", "secret")
    import_definitions(other.core, through_json(domain))
    assert other.core.users.by_name["alice"] == alice


def test_verifiers_stay_while_the_hash_of_the_password_stays() -> None:
    """Whoever changes tags by way of an export, as RabbitMQ's tools do, keeps them; a new hash ends them."""
    domain = Domain()
    alice = domain.core.add_user("alice", "secret")
    domain.core.put_user(User("alice", alice.password_hash, tags=("monitoring",)))
    assert domain.core.users.by_name["alice"].scram == alice.scram
    assert domain.core.users.by_name["alice"].tags == ("monitoring",)
    domain.core.put_user(User("alice", "another"))
    assert domain.core.users.by_name["alice"].scram == ()


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"mechanism": "SCRAM-SHA-1"}, "unknown mechanism 'SCRAM-SHA-1'"),
        ({"iterations": 1}, "iterations must be from 4096 to 1000000"),
        ({"salt": ""}, "salt or keys do not fit SCRAM-SHA-256"),
        ({"stored_key": "AAAA"}, "salt or keys do not fit SCRAM-SHA-256"),
        ({"server_key": "?"}, "Invalid base64"),
    ],
)
def test_verifier_that_is_none_is_refused(change: dict[str, Any], complaint: str) -> None:
    domain = Domain()
    domain.core.add_user("alice", "secret")
    document = through_json(domain)
    (alice,) = [user for user in document["users"] if user["name"] == "alice"]
    alice["scram"][0].update(change)
    with pytest.raises(DefinitionsError, match=complaint):
        import_definitions(Domain().core, document)
