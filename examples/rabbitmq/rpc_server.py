"""Answer questions for Fibonacci numbers, until Ctrl-C.

    python examples/rabbitmq/rpc_server.py

The broker is AMQP_URL (default amqp://guest:guest@localhost:5672/).

rpc_client.py asks. A question says in `reply_to` where its answer goes, and in `correlation_id` which
question it was.
"""

import os

import pika

URL = os.environ.get("AMQP_URL", "amqp://guest:guest@localhost:5672/")


def fibonacci(n: int) -> int:
    previous, current = 0, 1
    for _ in range(n):
        previous, current = current, previous + current
    return previous


def answer(channel, method, properties, body: bytes) -> None:
    result = str(fibonacci(int(body)))
    reply = pika.BasicProperties(correlation_id=properties.correlation_id)
    channel.basic_publish(
        exchange="", routing_key=properties.reply_to, properties=reply, body=result.encode()
    )
    channel.basic_ack(method.delivery_tag)
    print(f"answered: fibonacci({int(body)})", flush=True)


def main() -> None:
    with pika.BlockingConnection(pika.URLParameters(URL)) as connection:
        channel = connection.channel()
        channel.queue_declare("fibonacci", auto_delete=True)
        channel.basic_qos(prefetch_count=1)  # Several servers share the questions evenly.
        channel.basic_consume("fibonacci", answer)
        print("waiting for questions", flush=True)
        channel.start_consuming()


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        print("stopped")
