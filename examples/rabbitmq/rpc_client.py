"""Ask rpc_server.py for Fibonacci numbers.

    python examples/rabbitmq/rpc_client.py 10 20 30

The broker is AMQP_URL (default amqp://guest:guest@localhost:5672/).

Answers come by direct reply-to: the client consumes from the pseudo-queue `amq.rabbitmq.reply-to`, so no
reply queue is ever made.
"""

import os
import sys

import pika

URL = os.environ.get("AMQP_URL", "amqp://guest:guest@localhost:5672/")
REPLY_TO = "amq.rabbitmq.reply-to"
TIMEOUT_S = 10


def main(numbers: list[int]) -> None:
    answers: dict[str, int] = {}

    def collect(_channel, _method, properties, body: bytes) -> None:
        answers[properties.correlation_id] = int(body)

    with pika.BlockingConnection(pika.URLParameters(URL)) as connection:
        channel = connection.channel()
        channel.basic_consume(REPLY_TO, collect, auto_ack=True)  # Before the first question.
        connection.call_later(TIMEOUT_S, lambda: sys.exit("no answer: is rpc_server.py running?"))
        for number in numbers:
            properties = pika.BasicProperties(reply_to=REPLY_TO, correlation_id=str(number))
            channel.basic_publish("", "fibonacci", str(number).encode(), properties)
        while len(answers) < len(set(numbers)):
            connection.process_data_events(time_limit=None)
    for number in numbers:
        print(f"fibonacci({number}) = {answers[str(number)]}")


if __name__ == "__main__":
    main([int(each) for each in sys.argv[1:]] or [30])
