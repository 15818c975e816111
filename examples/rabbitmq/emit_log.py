"""Publish a log line to everybody who listens right now.

    python examples/rabbitmq/emit_log.py [TEXT]

The broker is AMQP_URL (default amqp://guest:guest@localhost:5672/).

A fanout exchange copies the line to every queue that is bound to it; receive_logs.py binds one. Without
a listener the line is gone.
"""

import os
import sys

import pika

URL = os.environ.get("AMQP_URL", "amqp://guest:guest@localhost:5672/")


def main(text: str) -> None:
    with pika.BlockingConnection(pika.URLParameters(URL)) as connection:
        channel = connection.channel()
        channel.exchange_declare("logs", "fanout")
        channel.basic_publish(exchange="logs", routing_key="", body=text.encode())
    print(f"logged: {text}")


if __name__ == "__main__":
    main(" ".join(sys.argv[1:]) or "info: all is well")
