"""Unmodified Kafka clients administer topics and log in: confluent-kafka, kafka-python, and over TLS."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import kafka
import kafka.admin
import kafka.errors
import pytest
from confluent_kafka import KafkaException, Producer, TopicCollection, TopicPartition
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewPartitions,
    NewTopic,
    OffsetSpec,
    ResourceType,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialDeletion,
    UserScramCredentialUpsertion,
)

from pillarbox import Broker
from pillarbox.broker.auth import Permission
from tests.hostile.test_client_certificates import (  # noqa: F401
    Authority,
    Pair,
    add_users,
    authority,
    broker_with,
    client,
    logged_in,
    server,
)
from tests.hostile.test_tls import OPENSSL

TIMEOUT_S = 20
NO_OPENSSL = pytest.mark.skipif(OPENSSL is None, reason="no openssl command to make certificates with")
QUIET = {"log_level": 0, "socket.timeout.ms": 10_000}


@pytest.fixture(scope="module")
def broker() -> Iterator[Broker]:
    with Broker(kafka_port=0) as running:
        yield running


@pytest.fixture(scope="module")
def admin(broker: Broker) -> AdminClient:
    return AdminClient({"bootstrap.servers": broker.kafka_bootstrap, **QUIET})


def done(futures: dict[Any, Any]) -> dict[Any, Any]:
    """The results by what they are about."""
    return {about: future.result(TIMEOUT_S) for about, future in futures.items()}


def refusal(futures: dict[Any, Any]) -> str:
    """The name of the error of the one thing that was asked for."""
    (future,) = futures.values()
    with pytest.raises(KafkaException) as refused:
        future.result(TIMEOUT_S)
    return str(refused.value.args[0].name())


@pytest.mark.row("K31", "K32")
def test_confluent_makes_alters_and_deletes_topics(admin: AdminClient) -> None:
    topic = NewTopic("orders", 2, 1, config={"retention.ms": "1000"})
    done(admin.create_topics([topic]))
    assert refusal(admin.create_topics([topic])) == "TOPIC_ALREADY_EXISTS"
    assert refusal(admin.create_topics([NewTopic("no way", 1)])) == "TOPIC_EXCEPTION"
    assert refusal(admin.create_topics([NewTopic("three", 1, 3)])) == "INVALID_REPLICATION_FACTOR"
    done(admin.create_topics([NewTopic("tried", 1)], validate_only=True))
    assert "tried" not in admin.list_topics(timeout=TIMEOUT_S).topics
    done(admin.create_partitions([NewPartitions("orders", 5)]))
    assert len(admin.list_topics(timeout=TIMEOUT_S).topics["orders"].partitions) == 5
    change = ConfigEntry("cleanup.policy", "compact", incremental_operation=AlterConfigOpType.APPEND)
    orders = ConfigResource(ResourceType.TOPIC, "orders", incremental_configs=[change])
    done(admin.incremental_alter_configs([orders]))
    (configs,) = done(admin.describe_configs([orders])).values()
    assert configs["cleanup.policy"].value == "delete,compact"
    assert configs["retention.ms"].value == "1000"
    assert configs["cleanup.policy"].synonyms["log.cleanup.policy"].value == "delete"
    (own,) = done(admin.describe_configs([ConfigResource(ResourceType.BROKER, "1")])).values()
    assert own["num.partitions"].is_read_only
    done(admin.delete_topics(["orders"]))
    assert "orders" not in admin.list_topics(timeout=TIMEOUT_S).topics


@pytest.mark.row("K35", "K37")
def test_confluent_deletes_records_and_describes_cluster_and_topics(
    broker: Broker, admin: AdminClient
) -> None:
    done(admin.create_topics([NewTopic("records", 1)]))
    producer = Producer({"bootstrap.servers": broker.kafka_bootstrap, "linger.ms": 0, **QUIET})
    for _ in range(3):
        producer.produce("records", b"x")
    assert producer.flush(TIMEOUT_S) == 0
    (low,) = done(admin.delete_records([TopicPartition("records", 0, 2)])).values()
    assert low.low_watermark == 2
    (earliest,) = done(admin.list_offsets({TopicPartition("records", 0): OffsetSpec.earliest()})).values()
    assert earliest.offset == 2
    cluster = admin.describe_cluster(include_authorized_operations=True).result(TIMEOUT_S)
    assert (len(cluster.nodes), cluster.controller.id) == (1, 1)
    assert cluster.authorized_operations
    described = admin.describe_topics(TopicCollection(["records"]), include_authorized_operations=True)
    (topic,) = done(described).values()
    assert len(topic.partitions) == 1
    assert topic.authorized_operations


@pytest.mark.row("K31", "K32")
def test_kafka_python_makes_alters_and_deletes_topics(broker: Broker) -> None:
    admin = kafka.KafkaAdminClient(bootstrap_servers=broker.kafka_bootstrap)
    try:
        admin.create_topics([kafka.admin.NewTopic("shop", 2, 1, topic_configs={"segment.ms": "5000"})])
        with pytest.raises(kafka.errors.TopicAlreadyExistsError):
            admin.create_topics([kafka.admin.NewTopic("shop", 2, 1)])
        admin.create_partitions({"shop": kafka.admin.NewPartitions(4)})
        assert "shop" in admin.list_topics()
        (described,) = admin.describe_topics(["shop"])
        assert len(described["partitions"]) == 4
        assert admin.describe_cluster()["cluster_id"]
        admin.delete_topics(["shop"])
        assert "shop" not in admin.list_topics()
    finally:
        admin.close()


# --- logins --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def closed_broker() -> Iterator[Broker]:
    with Broker(kafka_port=0, kafka_anonymous_user="none") as running:
        yield running


def login(broker: Broker, mechanism: str, user: str, password: str) -> dict[str, Any]:
    return {
        "bootstrap.servers": broker.kafka_bootstrap,
        "security.protocol": "SASL_PLAINTEXT",
        "sasl.mechanism": mechanism,
        "sasl.username": user,
        "sasl.password": password,
        **QUIET,
    }


def first_error(settings: dict[str, Any]) -> str:
    """The name of the first error that a client meets which tries to connect."""
    errors: list[str] = []
    admin = AdminClient({**settings, "error_cb": lambda error: errors.append(error.name())})
    while not errors:
        assert admin.poll(TIMEOUT_S), "no error has come"
    return errors[0]


@pytest.mark.row("K71")
@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"])
def test_confluent_logs_in(closed_broker: Broker, mechanism: str) -> None:
    admin = AdminClient(login(closed_broker, mechanism, "guest", "guest"))
    assert admin.list_topics(timeout=TIMEOUT_S).cluster_id
    assert first_error(login(closed_broker, mechanism, "guest", "wrong")) == "_AUTHENTICATION"


@pytest.mark.row("K71")
@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"])
def test_kafka_python_logs_in(closed_broker: Broker, mechanism: str) -> None:
    settings = {
        "bootstrap_servers": closed_broker.kafka_bootstrap,
        "security_protocol": "SASL_PLAINTEXT",
        "sasl_mechanism": mechanism,
        "sasl_plain_username": "guest",
    }
    admin = kafka.KafkaAdminClient(**settings, sasl_plain_password="guest")
    assert "no-such-topic" not in admin.list_topics()
    admin.close()


@pytest.mark.row("K71")
def test_confluent_gives_credentials_to_users(closed_broker: Broker) -> None:
    admin = AdminClient(login(closed_broker, "PLAIN", "guest", "guest"))
    info = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_256, 8192)
    done(admin.alter_user_scram_credentials([UserScramCredentialUpsertion("joe", info, b"secret")]))
    rights = Permission("joe", "/", configure="", write="", read=".*")
    closed_broker.call(lambda running: running.core.set_permission(rights))
    joe = AdminClient(login(closed_broker, "SCRAM-SHA-256", "joe", "secret"))
    assert joe.list_topics(timeout=TIMEOUT_S).cluster_id
    found = admin.describe_user_scram_credentials(["joe"])["joe"].result(TIMEOUT_S)
    assert [each.iterations for each in found.scram_credential_infos] == [8192]
    gone = UserScramCredentialDeletion("joe", ScramMechanism.SCRAM_SHA_256)
    done(admin.alter_user_scram_credentials([gone]))
    assert refusal(admin.describe_user_scram_credentials(["joe"])) == "RESOURCE_NOT_FOUND"


def over_tls(
    broker: Broker,
    authority: Authority,  # noqa: F811
    listener: str = "kafkas",
    **more: Any,
) -> dict[str, Any]:
    port = broker.call(lambda running: running.addresses[listener][0][1])
    return {
        "bootstrap.servers": f"127.0.0.1:{port}",
        "security.protocol": "SSL",
        "ssl.ca.location": authority.own.certificate,
        "ssl.endpoint.identification.algorithm": "none",
        **QUIET,
        **{key.replace("_", "."): value for key, value in more.items()},
    }


@NO_OPENSSL
@pytest.mark.row("K40", "K70")
def test_confluent_produces_through_a_named_listener_with_tls(
    authority: Authority,  # noqa: F811
    server: Pair,  # noqa: F811
) -> None:
    """It goes on at the address that it was told, which is on the same listener."""
    options = {"kafka_listeners": ("safe+tls://127.0.0.1:0",), "tls_client_certificate": "none"}
    with broker_with(authority, server, **options) as broker:
        producer = Producer(over_tls(broker, authority, "kafka-safe"))
        failures: list[Any] = []
        producer.produce("t", b"v", on_delivery=lambda error, message: failures.append(error))
        assert producer.flush(TIMEOUT_S) == 0
        assert failures == [None]


@NO_OPENSSL
@pytest.mark.row("K70")
def test_confluent_connects_over_tls_with_and_without_a_login(
    authority: Authority,  # noqa: F811
    server: Pair,  # noqa: F811
) -> None:
    with broker_with(authority, server, kafka_tls_port=0, tls_client_certificate="none") as broker:
        admin = AdminClient(over_tls(broker, authority))
        done(admin.create_topics([NewTopic("over-tls", 1)]))
        assert set(logged_in(broker)) == {"guest"}
    options = {"kafka_tls_port": 0, "tls_client_certificate": "none", "kafka_anonymous_user": "none"}
    with broker_with(authority, server, **options) as broker:
        sasl = {"security_protocol": "SASL_SSL", "sasl_mechanism": "SCRAM-SHA-512"}
        settings = over_tls(broker, authority, **sasl, sasl_username="guest", sasl_password="guest")
        admin = AdminClient(settings)
        assert admin.list_topics(timeout=TIMEOUT_S).cluster_id


@NO_OPENSSL
@pytest.mark.row("K70")
def test_a_certificate_says_who_a_client_is(
    authority: Authority,  # noqa: F811
    server: Pair,  # noqa: F811
    client: Pair,  # noqa: F811
) -> None:
    options: dict[str, Any] = {
        "kafka_tls_port": 0,
        "kafka_anonymous_user": "none",
        "tls_login_from": "common_name",
    }
    with broker_with(authority, server, **options) as broker:
        own = {"ssl_certificate_location": client.certificate, "ssl_key_location": client.key}
        settings = over_tls(broker, authority, **own)
        assert first_error(settings) in ("_TRANSPORT", "_ALL_BROKERS_DOWN")
        add_users(broker, "shop")
        admin = AdminClient(settings)
        done(admin.create_topics([NewTopic("certified", 1)]))
        assert set(logged_in(broker)) == {"shop"}
        assert first_error(over_tls(broker, authority)) in ("_TRANSPORT", "_ALL_BROKERS_DOWN")


@NO_OPENSSL
@pytest.mark.row("K70")
def test_who_comes_with_a_certificate_may_begin_with_a_large_message(
    authority: Authority,  # noqa: F811
    server: Pair,  # noqa: F811
    client: Pair,  # noqa: F811
) -> None:
    """A producer may have a connection for its messages alone."""
    options: dict[str, Any] = {
        "kafka_tls_port": 0,
        "kafka_anonymous_user": "none",
        "tls_login_from": "common_name",
    }
    with broker_with(authority, server, **options) as broker:
        add_users(broker, "shop")
        own = {"ssl_certificate_location": client.certificate, "ssl_key_location": client.key}
        producer = Producer(over_tls(broker, authority, **own, message_timeout_ms=10_000))
        failures: list[Any] = []
        producer.produce("t", os.urandom(700_000), on_delivery=lambda error, _: failures.append(error))
        assert producer.flush(TIMEOUT_S) == 0
        assert failures == [None]
