"""Print log lines whose topic matches a pattern, until Ctrl-C.

    python examples/rabbitmq/receive_logs_topic.py "kernel.*" "*.critical"

The broker is AMQP_URL (default amqp://guest:guest@localhost:5672/).

emit_log_topic.py publishes. In a pattern `*` stands for one word and `#` for any number of words; `#`
alone is everything.
"""

import os
import sys

import pika

URL = os.environ.get("AMQP_URL", "amqp://guest:guest@localhost:5672/")


def show(_channel, method, _properties, body: bytes) -> None:
    print(f"{method.routing_key}: {body.decode()}", flush=True)


def main(patterns: list[str]) -> None:
    with pika.BlockingConnection(pika.URLParameters(URL)) as connection:
        channel = connection.channel()
        channel.exchange_declare("topics", "topic")
        queue = channel.queue_declare("", exclusive=True).method.queue
        for pattern in patterns:
            channel.queue_bind(queue, "topics", pattern)
        channel.basic_consume(queue, show, auto_ack=True)
        print(f"waiting for {', '.join(patterns)}", flush=True)
        channel.start_consuming()


if __name__ == "__main__":
    try:
        main(sys.argv[1:] or ["#"])
    except KeyboardInterrupt:
        print("stopped")
