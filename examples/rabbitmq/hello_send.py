"""Send one message to the queue `hello`.

    python examples/rabbitmq/hello_send.py [TEXT]

The broker is AMQP_URL (default amqp://guest:guest@localhost:5672/).

hello_receive.py prints what arrives.
"""

import os
import sys

import pika

URL = os.environ.get("AMQP_URL", "amqp://guest:guest@localhost:5672/")


def main(text: str) -> None:
    with pika.BlockingConnection(pika.URLParameters(URL)) as connection:
        channel = connection.channel()
        channel.queue_declare("hello")  # Whoever comes first makes it; the other finds it.
        channel.basic_publish(exchange="", routing_key="hello", body=text.encode())
    print(f"sent: {text}")


if __name__ == "__main__":
    main(" ".join(sys.argv[1:]) or "Hello, world!")
