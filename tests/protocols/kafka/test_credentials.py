"""Users' credentials over Kafka, and what is answered to those who ask for ACLs."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest

from pillarbox import Broker
from pillarbox.broker.auth import Permission
from pillarbox.protocols.kafka.errors import ErrorCode as Code
from tests.protocols.kafka.asking import Asking
from tests.protocols.kafka.test_sasl import ScramClient

SHA_256, SHA_512 = 1, 2
MECHANISMS = {SHA_256: ("sha256", "SCRAM-SHA-256"), SHA_512: ("sha512", "SCRAM-SHA-512")}
SALT = b"salt of the client"


def upsertion(name: str, password: str, mechanism: int = SHA_256, iterations: int = 4096) -> dict[str, Any]:
    algorithm = MECHANISMS.get(mechanism, ("sha256", ""))[0]
    salted = hashlib.pbkdf2_hmac(algorithm, password.encode(), SALT, iterations)
    return {
        "name": name,
        "mechanism": mechanism,
        "iterations": iterations,
        "salt": SALT,
        "salted_password": salted,
    }


def alter(
    client: Asking, *upsertions: dict[str, Any], deletions: list[tuple[str, int]] | None = None
) -> dict[str, int]:
    gone = [{"name": name, "mechanism": mechanism} for name, mechanism in deletions or ()]
    answer = client.ask("AlterUserScramCredentials", 0, deletions=gone, upsertions=upsertions)
    return {result.user: result.error_code.value for result in answer.results}


def described(client: Asking, *names: str) -> dict[str, tuple[int, list[tuple[int, int]]]]:
    users = [{"name": name} for name in names] or None
    return {
        result.user: (
            result.error_code.value,
            [(info.mechanism, info.iterations) for info in result.credential_infos],
        )
        for result in client.ask("DescribeUserScramCredentials", 0, users=users).results
    }


def logs_in(broker: Broker, name: str, password: str, mechanism: int = SHA_256) -> bool:
    with Asking(broker.kafka_bootstrap) as client:
        proof = ScramClient(MECHANISMS[mechanism][1], name, password)
        client.ask("SaslHandshake", 1, mechanism=MECHANISMS[mechanism][1])
        asked = client.ask("SaslAuthenticate", 2, auth_bytes=proof.first)
        answer = client.ask("SaslAuthenticate", 2, auth_bytes=proof.final(asked.auth_bytes))
        return bool(answer.error_code.value == Code.NONE)


@pytest.mark.row("K73", "R91")
def test_who_is_no_administrator_any_more_may_do_no_more_what_those_may() -> None:
    """A connection that is open goes by the tags that its user has now."""
    with Broker(kafka_port=0) as broker, Asking(broker.kafka_bootstrap) as client:

        def give(*tags: str) -> None:
            broker.call(lambda server: server.core.add_user("boss", "pw", tags))

        give("administrator")
        rights = Permission("boss", "/", configure=".*", write=".*", read=".*")
        broker.call(lambda server: server.core.set_permission(rights))
        client.ask("SaslHandshake", 1, mechanism="PLAIN")
        client.ask("SaslAuthenticate", 2, auth_bytes=b"\0boss\0pw")
        assert alter(client, upsertion("someone", "x")) == {"someone": Code.NONE}
        give("monitoring")
        assert alter(client, upsertion("guest", "x")) == {"guest": Code.CLUSTER_AUTHORIZATION_FAILED}
        give("administrator")
        assert alter(client, upsertion("someone", "y")) == {"someone": Code.NONE}


@pytest.mark.row("K71")
@pytest.mark.parametrize("mechanism", [SHA_256, SHA_512])
def test_a_user_made_over_kafka_logs_in_once_it_has_rights(
    broker: Broker, client: Asking, mechanism: int
) -> None:
    name = f"made-{mechanism}"
    assert alter(client, upsertion(name, "first", mechanism)) == {name: Code.NONE}
    assert not logs_in(broker, name, "first", mechanism)
    rights = Permission(name, "/", configure="", write="", read=".*")
    broker.call(lambda server: server.core.set_permission(rights))
    assert logs_in(broker, name, "first", mechanism)
    assert not logs_in(broker, name, "second", mechanism)
    assert alter(client, upsertion(name, "second", mechanism, 8192)) == {name: Code.NONE}
    assert logs_in(broker, name, "second", mechanism)
    assert described(client, name) == {name: (Code.NONE, [(mechanism, 8192)])}
    assert alter(client, deletions=[(name, mechanism)]) == {name: Code.NONE}
    assert not logs_in(broker, name, "second", mechanism)
    assert described(client, name) == {name: (Code.RESOURCE_NOT_FOUND, [])}


@pytest.mark.row("K71")
def test_the_password_of_other_protocols_stays(broker: Broker, client: Asking) -> None:
    broker.call(lambda server: server.core.add_user("both", "password"))
    rights = Permission("both", "/", configure="", write="", read=".*")
    broker.call(lambda server: server.core.set_permission(rights))
    alter(client, upsertion("both", "other"), deletions=[("both", SHA_512)])
    assert logs_in(broker, "both", "other")
    assert broker.call(lambda server: server.core.users.authenticate("both", b"password")) is not None


@pytest.mark.row("K71")
def test_credentials_outlive_a_restart(tmp_path: Path) -> None:
    for _ in range(2):
        with Broker(str(tmp_path), kafka_port=0) as broker, Asking(broker.kafka_bootstrap) as client:
            if "kept" not in described(client):
                alter(client, upsertion("kept", "secret"))
            assert described(client, "kept")["kept"] == (Code.NONE, [(SHA_256, 4096)])


@pytest.mark.row("K71")
@pytest.mark.parametrize(
    ("upsertions", "deletions", "code"),
    [
        ([upsertion("u", "x", iterations=4095)], [], Code.UNACCEPTABLE_CREDENTIAL),
        ([upsertion("u", "x", iterations=16385)], [], Code.UNACCEPTABLE_CREDENTIAL),
        ([upsertion("", "x")], [], Code.UNACCEPTABLE_CREDENTIAL),
        ([{**upsertion("u", "x"), "salt": b""}], [], Code.UNACCEPTABLE_CREDENTIAL),
        ([upsertion("u", "x", mechanism=3)], [], Code.UNSUPPORTED_SASL_MECHANISM),
        ([upsertion("u", "x"), upsertion("u", "y")], [], Code.DUPLICATE_RESOURCE),
        ([upsertion("u", "x")], [("u", SHA_256)], Code.DUPLICATE_RESOURCE),
        ([], [("u", SHA_256)], Code.RESOURCE_NOT_FOUND),
        ([upsertion("u", "x", SHA_512)], [("u", SHA_256)], Code.RESOURCE_NOT_FOUND),
    ],
)
def test_what_cannot_be_a_credential_changes_nothing(
    broker: Broker, client: Asking, upsertions: list[Any], deletions: list[Any], code: Code
) -> None:
    assert set(alter(client, *upsertions, deletions=deletions).values()) == {code}
    assert broker.call(lambda server: "u" in server.core.users.by_name) is False


@pytest.mark.row("K71")
def test_credentials_are_described_of_all_users_or_of_those_named(client: Asking) -> None:
    alter(client, upsertion("shown", "x"))
    assert described(client)["shown"] == (Code.NONE, [(SHA_256, 4096)])
    assert described(client)["guest"][1] == [(SHA_256, 4096), (SHA_512, 4096)]
    assert described(client, "nobody") == {"nobody": (Code.RESOURCE_NOT_FOUND, [])}
    assert described(client, "shown", "shown") == {"shown": (Code.DUPLICATE_RESOURCE, [])}


@pytest.mark.row("K71", "K73")
def test_credentials_are_for_administrators() -> None:
    with Broker(kafka_port=0) as broker:
        broker.call(lambda server: server.core.add_user("guest", "guest"))
        with Asking(broker.kafka_bootstrap) as client:
            code = Code.CLUSTER_AUTHORIZATION_FAILED
            assert alter(client, upsertion("u", "x")) == {"u": code}
            assert client.ask("DescribeUserScramCredentials", 0, users=None).error_code.value == code


@pytest.mark.row("K73")
@pytest.mark.parametrize("version", range(1, 4))
def test_acls_are_answered_as_without_an_authorizer(client: Asking, version: int) -> None:
    anything = {"resource_type_filter": 1, "pattern_type_filter": 1, "operation": 1, "permission_type": 1}
    assert client.ask("DescribeAcls", version, **anything).error_code.value == Code.SECURITY_DISABLED
    creation = {"resource_type": 2, "resource_name": "t", "resource_pattern_type": 3, "principal": "User:u"}
    created = client.ask("CreateAcls", version, creations=[creation, creation]).results
    assert [each.error_code.value for each in created] == [Code.SECURITY_DISABLED] * 2
    (deleted,) = client.ask("DeleteAcls", version, filters=[anything]).filter_results
    assert (deleted.error_code.value, deleted.matching_acls) == (Code.SECURITY_DISABLED, ())
