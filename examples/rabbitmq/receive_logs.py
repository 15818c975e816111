"""Print the log lines that are published while this runs, until Ctrl-C.

    python examples/rabbitmq/receive_logs.py

The broker is AMQP_URL (default amqp://guest:guest@localhost:5672/).

emit_log.py publishes. Every listener has a queue of its own, with a name from the broker, that
disappears with its connection.
"""

import os

import pika

URL = os.environ.get("AMQP_URL", "amqp://guest:guest@localhost:5672/")


def main() -> None:
    with pika.BlockingConnection(pika.URLParameters(URL)) as connection:
        channel = connection.channel()
        channel.exchange_declare("logs", "fanout")
        queue = channel.queue_declare("", exclusive=True).method.queue
        channel.queue_bind(queue, "logs")
        channel.basic_consume(
            queue,
            lambda _channel, _method, _properties, body: print(f"log: {body.decode()}", flush=True),
            auto_ack=True,
        )
        print("waiting for logs", flush=True)
        channel.start_consuming()


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        print("stopped")
