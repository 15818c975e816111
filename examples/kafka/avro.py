"""Send orders in Avro and read them back, with schemas in the broker's schema registry.

    python examples/kafka/avro.py 3

The broker is KAFKA_BOOTSTRAP (default localhost:9092), its registry SCHEMA_REGISTRY_URL (default
http://localhost:8081). It needs `pip install 'confluent-kafka[avro,schemaregistry]'`.
"""

import os
import sys

from confluent_kafka import Consumer, Producer
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer, AvroSerializer
from confluent_kafka.serialization import MessageField, SerializationContext

BOOTSTRAP = os.environ.get("KAFKA_BOOTSTRAP", "localhost:9092")
REGISTRY = os.environ.get("SCHEMA_REGISTRY_URL", "http://localhost:8081")
TIMEOUT_S = 30

ORDER = """{"type": "record", "name": "Order", "fields": [
    {"name": "number", "type": "int"},
    {"name": "what", "type": "string", "default": "tea"}
]}"""


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    client = SchemaRegistryClient({"url": REGISTRY})
    value = SerializationContext("avro-orders", MessageField.VALUE)
    serialize = AvroSerializer(client, ORDER)
    producer = Producer({"bootstrap.servers": BOOTSTRAP})
    for number in range(count):
        producer.produce("avro-orders", serialize({"number": number, "what": "tea"}, value))
    if producer.flush(TIMEOUT_S):
        sys.exit("the broker did not answer in time")

    deserialize = AvroDeserializer(client)
    consumer = Consumer(
        {"bootstrap.servers": BOOTSTRAP, "group.id": "avro-example", "auto.offset.reset": "earliest"}
    )
    consumer.subscribe(["avro-orders"])
    for _ in range(count):
        message = consumer.poll(TIMEOUT_S)
        if message is None or message.error():
            sys.exit("no order came in time")
        order = deserialize(message.value(), value)
        print(f"order {order['number']}: {order['what']}", flush=True)
    consumer.close()
    print(
        f"schema {client.get_latest_version('avro-orders-value').schema_id} of avro-orders-value", flush=True
    )


if __name__ == "__main__":
    main()
