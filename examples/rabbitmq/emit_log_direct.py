"""Publish a log line under its severity.

    python examples/rabbitmq/emit_log_direct.py error "the cellar is flooded"

The broker is AMQP_URL (default amqp://guest:guest@localhost:5672/).

A direct exchange hands the line to the queues that are bound with exactly this severity;
receive_logs_direct.py binds one.
"""

import os
import sys

import pika

URL = os.environ.get("AMQP_URL", "amqp://guest:guest@localhost:5672/")


def main(severity: str, text: str) -> None:
    with pika.BlockingConnection(pika.URLParameters(URL)) as connection:
        channel = connection.channel()
        channel.exchange_declare("severities", "direct")
        channel.basic_publish(exchange="severities", routing_key=severity, body=text.encode())
    print(f"logged as {severity}: {text}")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "info", " ".join(sys.argv[2:]) or "all is well")
