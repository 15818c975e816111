"""The releases that the broker stands in for: their tables, and what clients make of them (T8)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from kafka import KafkaProducer

from pillarbox import Broker
from pillarbox.config import Config, ConfigError
from pillarbox.profiles import release
from tests.compare_kafka.tables import RELEASES, load, told
from tests.protocols.kafka.asking import Asking

BETWEEN_BROKERS = frozenset(map(str, range(83, 88)))
"""What brokers tell each other of share groups: no client asks for it, and none is offered it."""
OFF = frozenset(("streams.version", "eligible.leader.replicas.version"))
"""Known and switched off, where a new cluster of Kafka's has them on."""


@pytest.fixture(scope="module", params=RELEASES)
def profile(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def broker(profile: str) -> Iterator[Broker]:
    with Broker(kafka_port=0, profile=profile) as running:
        yield running


@pytest.mark.row("T8", "T4", "T6")
def test_keys_and_their_versions_are_those_of_the_release(profile: str, broker: Broker) -> None:
    """As recorded from Apache Kafka by `python -m tests.compare_kafka.tables`."""
    real, ours = load(profile)["keys"], told(broker.kafka_bootstrap)["keys"]
    assert {key: versions for key, versions in real.items() if key not in BETWEEN_BROKERS} == ours
    assert not set(real) & {"71", "72"}, "no release offers metrics of clients without a plugin"


@pytest.mark.row("T8", "K37")
def test_features_and_their_levels_are_those_of_the_release(profile: str, broker: Broker) -> None:
    real, ours = load(profile), told(broker.kafka_bootstrap)
    assert real["supported"] == ours["supported"]
    finalized = {name: level for name, level in real["finalized"].items() if name not in OFF}
    assert finalized == ours["finalized"]


@pytest.mark.row("T8")
def test_kafka_python_infers_the_release(profile: str, broker: Broker) -> None:
    """It compares the table with those that it knows, and has no later one than the oldest that fits."""
    producer = KafkaProducer(bootstrap_servers=broker.kafka_bootstrap)
    inferred = producer.config["api_version"]
    producer.close()
    assert inferred[:2] == tuple(map(int, profile.partition(":")[2].split(".")))


@pytest.mark.row("T8")
def test_one_release_of_each_product_can_be_named() -> None:
    assert [release("kafka:3.9", product) for product in ("rabbitmq", "kafka")] == [
        "rabbitmq:3.13",
        "kafka:3.9",
    ]
    assert release("rabbitmq:4.3,kafka:3.9", "rabbitmq") == "rabbitmq:4.3"
    assert Config(profile="kafka:3.9,rabbitmq:4.3").frame_min == 8192
    with pytest.raises(ConfigError, match=r"kafka:3\.9 and kafka:4\.2 are two releases of one product"):
        Config(profile="kafka:3.9,kafka:4.2")
    with pytest.raises(ConfigError, match=r"kafka:2\.8"):
        Config(profile="kafka:2.8")


@pytest.mark.row("T8")
def test_a_version_that_the_release_does_not_take_closes_the_connection(profile: str, broker: Broker) -> None:
    """Kafka 4 says that it takes Produce from 0 on, and does not."""
    with Asking(broker.kafka_bootstrap) as client:
        client.send(0, 0, b"\0\1" + b"\0\0\3\xe8" + bytes(4))
        if profile == "kafka:3.9":
            assert client.take_bare()[4:] == bytes(4)
        else:
            assert client.is_closed


@pytest.mark.row("K55")
def test_the_newer_protocol_of_groups_is_switched_off_in_3_9(profile: str, broker: Broker) -> None:
    with Asking(broker.kafka_bootstrap) as client:
        answer = client.ask("ConsumerGroupHeartbeat", 0, group_id="g", member_id="", member_epoch=0)
    assert answer.error_code.name == ("unsupported_version" if profile == "kafka:3.9" else "invalid_request")
