"""Print log lines of chosen severities, until Ctrl-C.

    python examples/rabbitmq/receive_logs_direct.py warning error

The broker is AMQP_URL (default amqp://guest:guest@localhost:5672/).

emit_log_direct.py publishes. The queue is bound once per severity.
"""

import os
import sys

import pika

URL = os.environ.get("AMQP_URL", "amqp://guest:guest@localhost:5672/")


def show(_channel, method, _properties, body: bytes) -> None:
    print(f"{method.routing_key}: {body.decode()}", flush=True)


def main(severities: list[str]) -> None:
    with pika.BlockingConnection(pika.URLParameters(URL)) as connection:
        channel = connection.channel()
        channel.exchange_declare("severities", "direct")
        queue = channel.queue_declare("", exclusive=True).method.queue
        for severity in severities:
            channel.queue_bind(queue, "severities", severity)
        channel.basic_consume(queue, show, auto_ack=True)
        print(f"waiting for {', '.join(severities)}", flush=True)
        channel.start_consuming()


if __name__ == "__main__":
    try:
        main(sys.argv[1:] or ["info", "warning", "error"])
    except KeyboardInterrupt:
        print("stopped")
