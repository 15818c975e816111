"""Publish a log line under a topic of several words, such as who.what.

    python examples/rabbitmq/emit_log_topic.py kernel.critical "the cellar is flooded"

The broker is AMQP_URL (default amqp://guest:guest@localhost:5672/).

A topic exchange compares the words with the patterns of its queues; receive_logs_topic.py binds one.
"""

import os
import sys

import pika

URL = os.environ.get("AMQP_URL", "amqp://guest:guest@localhost:5672/")


def main(topic: str, text: str) -> None:
    with pika.BlockingConnection(pika.URLParameters(URL)) as connection:
        channel = connection.channel()
        channel.exchange_declare("topics", "topic")
        channel.basic_publish(exchange="topics", routing_key=topic, body=text.encode())
    print(f"logged under {topic}: {text}")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "office.info", " ".join(sys.argv[2:]) or "all is well")
