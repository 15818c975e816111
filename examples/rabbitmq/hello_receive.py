"""Print every message of the queue `hello`, until Ctrl-C.

    python examples/rabbitmq/hello_receive.py

The broker is AMQP_URL (default amqp://guest:guest@localhost:5672/).

hello_send.py sends.
"""

import os

import pika

URL = os.environ.get("AMQP_URL", "amqp://guest:guest@localhost:5672/")


def main() -> None:
    with pika.BlockingConnection(pika.URLParameters(URL)) as connection:
        channel = connection.channel()
        channel.queue_declare("hello")
        channel.basic_consume(
            "hello",
            lambda _channel, _method, _properties, body: print(f"received: {body.decode()}", flush=True),
            auto_ack=True,  # Nothing is lost if a greeting is.
        )
        print("waiting for messages", flush=True)
        channel.start_consuming()


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        print("stopped")
