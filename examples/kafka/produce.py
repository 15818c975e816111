"""Produce some orders, and say where each of them came to rest.

    python examples/kafka/produce.py 5

The broker is KAFKA_BOOTSTRAP (default localhost:9092).

The topic is made on first use. Orders with the same key go to the same partition, so they stay in order.
"""

import os
import sys

from confluent_kafka import Producer

BOOTSTRAP = os.environ.get("KAFKA_BOOTSTRAP", "localhost:9092")
TIMEOUT_S = 30


def delivered(error, message) -> None:
    """Called for each order when the broker has answered."""
    if error is not None:
        print(f"not delivered: {error}", flush=True)
    else:
        print(
            f"{message.value().decode()} is number {message.offset()} of partition {message.partition()}",
            flush=True,
        )


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    producer = Producer({"bootstrap.servers": BOOTSTRAP, "enable.idempotence": True})
    for number in range(count):
        producer.produce("orders", key="customer-7", value=f"order {number}", on_delivery=delivered)
    if producer.flush(TIMEOUT_S):
        sys.exit("the broker did not answer in time")


if __name__ == "__main__":
    main()
