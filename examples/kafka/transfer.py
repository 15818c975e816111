"""Move orders to invoices in transactions: each order gives one invoice, whatever dies in between.

    python examples/kafka/transfer.py

The broker is KAFKA_BOOTSTRAP (default localhost:9092).

The invoices and how far the orders are read are committed together. It ends when there are no more orders.
"""

import os

from confluent_kafka import Consumer, Producer

BOOTSTRAP = os.environ.get("KAFKA_BOOTSTRAP", "localhost:9092")
TIMEOUT_S = 30
PATIENCE_S = 5
AT_ONCE = 100


def main() -> None:
    consumer = Consumer(
        {
            "bootstrap.servers": BOOTSTRAP,
            "group.id": "invoicing",
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
            "isolation.level": "read_committed",
        }
    )
    consumer.subscribe(["orders"])
    producer = Producer({"bootstrap.servers": BOOTSTRAP, "transactional.id": "invoicing-1"})
    producer.init_transactions(TIMEOUT_S)
    while orders := [one for one in consumer.consume(AT_ONCE, PATIENCE_S) if not one.error()]:
        producer.begin_transaction()
        for order in orders:
            producer.produce("invoices", key=order.key(), value=b"invoice for " + order.value())
        positions = consumer.position(consumer.assignment())
        producer.send_offsets_to_transaction(positions, consumer.consumer_group_metadata(), TIMEOUT_S)
        producer.commit_transaction(TIMEOUT_S)
        print(f"{len(orders)} invoices written", flush=True)
    consumer.close()
    print("no more orders", flush=True)


if __name__ == "__main__":
    main()
