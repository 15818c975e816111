"""Take orders as a member of a group, until Ctrl-C.

    python examples/kafka/consume.py

The broker is KAFKA_BOOTSTRAP (default localhost:9092).

Start several: each gets some of the partitions. What the group has read is committed after the work is done,
so an order may be done twice if a member dies in between, and none is left out.
"""

import os

from confluent_kafka import Consumer

BOOTSTRAP = os.environ.get("KAFKA_BOOTSTRAP", "localhost:9092")


def main() -> None:
    consumer = Consumer(
        {
            "bootstrap.servers": BOOTSTRAP,
            "group.id": "shipping",
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
        }
    )
    consumer.subscribe(["orders"])
    print("waiting for orders", flush=True)
    try:
        while True:
            message = consumer.poll(1.0)
            if message is None:
                continue
            if message.error():
                print(f"the broker says: {message.error()}", flush=True)
                continue
            print(f"shipping {message.value().decode()}", flush=True)
            consumer.commit(message, asynchronous=False)
    except KeyboardInterrupt:
        print("stopped", flush=True)
    finally:
        consumer.close()


if __name__ == "__main__":
    main()
