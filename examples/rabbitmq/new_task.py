"""Put a task on the work queue; each dot in its text is a tenth of a second of work.

    python examples/rabbitmq/new_task.py fold the letters...

The broker is AMQP_URL (default amqp://guest:guest@localhost:5672/).

Run any number of worker.py beside it. The queue is durable and the message persistent: the task is still
there after the broker was restarted.
"""

import os
import sys

import pika

URL = os.environ.get("AMQP_URL", "amqp://guest:guest@localhost:5672/")
PERSISTENT = pika.BasicProperties(delivery_mode=pika.DeliveryMode.Persistent)


def main(task: str) -> None:
    with pika.BlockingConnection(pika.URLParameters(URL)) as connection:
        channel = connection.channel()
        channel.queue_declare("tasks", durable=True)
        channel.confirm_delivery()  # basic_publish returns when the broker has the task on disk.
        channel.basic_publish("", "tasks", task.encode(), PERSISTENT, mandatory=True)
    print(f"queued: {task}")


if __name__ == "__main__":
    main(" ".join(sys.argv[1:]) or "fold the letters...")
