"""Take tasks from the work queue, one at a time, until Ctrl-C.

    python examples/rabbitmq/worker.py

The broker is AMQP_URL (default amqp://guest:guest@localhost:5672/).

Start several: tasks go round the free ones.

A task is acknowledged when it is done. If a worker dies before that, the broker gives its task to another
worker. With a prefetch of 1 a busy worker gets nothing new, so one long task does not hold up short ones.
"""

import os
import time

import pika

URL = os.environ.get("AMQP_URL", "amqp://guest:guest@localhost:5672/")
SECONDS_PER_DOT = 0.1


def work(channel, method, _properties, body: bytes) -> None:
    task = body.decode()
    again = " (again)" if method.redelivered else ""
    print(f"working on{again}: {task}", flush=True)
    time.sleep(task.count(".") * SECONDS_PER_DOT)
    channel.basic_ack(method.delivery_tag)
    print(f"done: {task}", flush=True)


def main() -> None:
    with pika.BlockingConnection(pika.URLParameters(URL)) as connection:
        channel = connection.channel()
        channel.queue_declare("tasks", durable=True)
        channel.basic_qos(prefetch_count=1)
        channel.basic_consume("tasks", work)
        print("waiting for tasks", flush=True)
        channel.start_consuming()


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        print("stopped")
