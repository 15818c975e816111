"""Confluent's own client and serializers, unmodified, over this registry and these Kafka topics (K79)."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from confluent_kafka import Consumer, Producer
from confluent_kafka.serialization import MessageField, SerializationContext

from bench.peers import make_certificate
from pillarbox import Broker
from tests.registry.asking import record
from tests.registry.needs import CLIENTS, REGISTRY

if TYPE_CHECKING:
    from confluent_kafka.schema_registry import SchemaRegistryClient

pytestmark = [pytest.mark.row("K79"), REGISTRY, CLIENTS]

TIMEOUT_S = 30.0
VALUE = SerializationContext("orders", MessageField.VALUE)


@pytest.fixture
def broker() -> Iterator[Broker]:
    with Broker(schema_registry_port=0, kafka_port=0) as running:
        yield running


@pytest.fixture
def client(broker: Broker) -> SchemaRegistryClient:
    from confluent_kafka.schema_registry import SchemaRegistryClient

    return SchemaRegistryClient({"url": broker.schema_registry_url, "basic.auth.user.info": "guest:guest"})


def carried(broker: Broker, *values: bytes) -> list[bytes]:
    """The same after they were produced and consumed."""
    producer = Producer({"bootstrap.servers": broker.kafka_bootstrap})
    for value in values:
        producer.produce("orders", value)
    assert producer.flush(TIMEOUT_S) == 0
    options = {"group.id": "g", "auto.offset.reset": "earliest", "bootstrap.servers": broker.kafka_bootstrap}
    consumer = Consumer(options)
    consumer.subscribe(["orders"])
    found: list[bytes] = []
    try:
        while len(found) < len(values):
            message = consumer.poll(TIMEOUT_S)
            assert message is not None
            assert message.error() is None
            value = message.value()
            assert value is not None
            found.append(value)
    finally:
        consumer.close()
    return found


def test_avro_goes_through_a_topic_and_evolves(broker: Broker, client: SchemaRegistryClient) -> None:
    from confluent_kafka.schema_registry.avro import AvroDeserializer, AvroSerializer
    from confluent_kafka.schema_registry.error import SchemaRegistryError

    old = AvroSerializer(client, record("Order", "what"))
    defaulted = {"name": "count", "type": "int", "default": 1}
    new = AvroSerializer(client, record("Order", "what", defaulted))
    sent = [old({"what": "tea"}, VALUE), new({"what": "jam", "count": 3}, VALUE)]
    read = AvroDeserializer(client, record("Order", "what", defaulted))
    found = [read(value, VALUE) for value in carried(broker, *sent)]
    assert found == [{"what": "tea", "count": 1}, {"what": "jam", "count": 3}]
    assert client.get_versions("orders-value") == [1, 2]
    with pytest.raises(SchemaRegistryError) as refusal:
        AvroSerializer(client, record("Order", "what", "whom"))({"what": "a", "whom": "b"}, VALUE)
    assert (refusal.value.http_status_code, refusal.value.error_code) == (409, 409)


def test_json_goes_through_a_topic(broker: Broker, client: SchemaRegistryClient) -> None:
    from confluent_kafka.schema_registry.json_schema import JSONDeserializer, JSONSerializer

    schema = """{"$schema": "http://json-schema.org/draft-07/schema#", "title": "Order", "type": "object",
    "properties": {"what": {"type": "string"}}, "required": ["what"], "additionalProperties": false}"""
    value = JSONSerializer(schema, client)({"what": "tea"}, VALUE)
    read = JSONDeserializer(schema, schema_registry_client=client)
    assert [read(one, VALUE) for one in carried(broker, value)] == [{"what": "tea"}]
    assert client.get_latest_version("orders-value").schema.schema_type == "JSON"


def test_protobuf_goes_through_a_topic(broker: Broker, client: SchemaRegistryClient) -> None:
    from confluent_kafka.schema_registry.protobuf import ProtobufDeserializer, ProtobufSerializer
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, timestamp_pb2

    pool = descriptor_pool.Default()
    item = descriptor_pb2.FileDescriptorProto(name="shop/item.proto", package="shop", syntax="proto3")
    item.message_type.add(name="Item").field.add(name="what", number=1, label=1, type=9)
    order = descriptor_pb2.FileDescriptorProto(name="shop/order.proto", package="shop", syntax="proto3")
    order.dependency.extend(["shop/item.proto", timestamp_pb2.DESCRIPTOR.name])
    fields = order.message_type.add(name="Order").field
    fields.add(name="items", number=1, label=3, type=11, type_name=".shop.Item")
    fields.add(name="at", number=2, label=1, type=11, type_name=".google.protobuf.Timestamp")
    for file in (item, order):
        pool.AddSerializedFile(file.SerializeToString())
    Order = message_factory.GetMessageClass(pool.FindMessageTypeByName("shop.Order"))
    options = {"use.deprecated.format": False}
    message = Order(items=[{"what": "tea"}], at={"seconds": 5})
    value = ProtobufSerializer(Order, client, options)(message, VALUE)
    read: Any = ProtobufDeserializer(Order, options, client)
    assert [read(one, VALUE) for one in carried(broker, value)] == [message]
    assert client.get_subjects() == ["orders-value", "shop/item.proto"]
    assert client.get_referenced_by("shop/item.proto", 1) == [2]


def test_every_call_of_the_client(client: SchemaRegistryClient) -> None:
    from confluent_kafka.schema_registry import (
        ConfigCompatibilityLevel,
        Schema,
        SchemaReference,
        ServerConfig,
    )

    one = Schema(record("R", "a"), "AVRO")
    two = Schema(record("R", "a", {"name": "b", "type": "int", "default": 0}), "AVRO")
    assert client.register_schema("s", one) == 1
    whole = client.register_schema_full_response("s", two, normalize_schemas=True)
    assert whole.schema_id == 2
    assert client.lookup_schema("s", two).version == 2
    assert client.get_schema(1).schema_type == "AVRO"
    assert client.get_schema_by_guid(whole.guid).schema_type == "AVRO"
    assert sorted(client.get_schema_types()) == ["AVRO", "JSON", "PROTOBUF"]
    assert client.get_subjects_by_schema_id(1) == ["s"]
    assert [(each.subject, each.version) for each in client.get_schema_versions(2)] == [("s", 2)]
    assert client.get_subjects(subject_prefix="s") == ["s"]
    assert client.get_latest_version("s").version == 2
    assert client.get_version("s", 1).schema_id == 1
    assert client.get_versions("s") == [1, 2]
    assert client.test_compatibility("s", two)
    assert client.test_compatibility_all_versions("s", one)
    assert client.get_compatibility() == "BACKWARD"
    client.set_compatibility("s", level="FULL")
    assert client.get_compatibility("s") == "FULL"
    assert client.get_config("s").compatibility_level.value == "FULL"
    assert client.delete_config("s").compatibility_level.value == "FULL"
    client.set_config("s", ServerConfig(ConfigCompatibilityLevel.FORWARD))
    assert client.delete_config("s").compatibility_level.value == "FORWARD"
    assert client.get_global_mode() == "READWRITE"
    assert client.update_mode("s", "READONLY") == "READONLY"
    assert client.get_mode("s") == "READONLY"
    assert client.delete_mode("s") == "READONLY"
    assert client.update_global_mode("READWRITE") == "READWRITE"
    assert client.get_contexts() == ["."]
    outer = Schema(record("O", {"name": "r", "type": "R"}), "AVRO", [SchemaReference("R", "s", 1)])
    assert client.register_schema("o", outer) == 3
    assert client.get_referenced_by("s", 1) == [3]
    assert client.delete_version("s", 2) == 2
    assert client.delete_subject("o") == [1]
    assert client.delete_subject("o", permanent=True) == [1]


@pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl command to make a certificate with")
def test_over_tls_and_without_it_it_is_one_registry(tmp_path: Path) -> None:
    from confluent_kafka.schema_registry import Schema, SchemaRegistryClient

    certificate, key = map(str, make_certificate(tmp_path))
    options: dict[str, Any] = {"schema_registry_port": 0, "schema_registry_tls_port": 0, "tls_port": 0}
    with Broker(tls_certificate=certificate, tls_key=key, **options) as broker:
        port = broker.call(lambda server: server.operator_addresses["schema-registry-tls"][0][1])
        secure = SchemaRegistryClient({"url": f"https://localhost:{port}", "ssl.ca.location": certificate})
        plain = SchemaRegistryClient({"url": broker.schema_registry_url})
        assert secure.register_schema("s", Schema(record("R", "a"), "AVRO")) == 1
        assert plain.register_schema("s", Schema(record("R"), "AVRO")) == 2
        assert secure.get_versions("s") == [1, 2]
