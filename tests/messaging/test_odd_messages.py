"""Whatever clients of one protocol say, those of the others get it or go without it, and everybody goes on.

Messages are made at random of what has ever been odd: names that are too long, empty, or mean something to
another protocol, values of other types than a name promises, times and numbers at their ends.
"""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any
from urllib.parse import quote

import pika
import pytest
from pika.exceptions import AMQPError

from pillarbox import Broker
from tests.protocols.mqtt.talker import PUBLISH, Talker
from tests.protocols.stomp.talking import Talking

confluent_kafka = pytest.importorskip("confluent_kafka")

MESSAGES = 200
LETTERS = "ab./+#*$%é\U0001f600\n\r:\\ ,;'\t\x7f>"
LONG = ("x" * 250, "é" * 127, "é" * 128, "y" * 300, "z" * 1000)
SPECIAL = (
    "x-delay", "x-death", "x-reply-to-topic", "x-correlation-id", "x-mqtt-publish-qos", "x-jms-body",
    "transformation", "JMSXGroupID", "timestamp_in_ms", "x-first-death-queue", "destination", "message-id",
    "content-length", "x-stream-offset", "x-stream-filter-value", "x-recent-history-no-store",
    "amqp.types", "amqp.exchange", "amqp.priority", "amqp.timestamp", "amqp.delivery-mode", "amqp.header.x",
)  # fmt: skip
QUEUES: dict[str, dict[str, Any]] = {
    "classic": {},
    "counting": {"x-queue-type": "quorum", "x-delivery-limit": 3, "x-dead-letter-exchange": "amq.fanout"},
    "dying": {"x-message-ttl": 0, "x-dead-letter-exchange": "amq.fanout"},
    "ranked": {"x-max-priority": 5},
    "stream": {"x-queue-type": "stream"},
}
EXCHANGES: dict[str, dict[str, str]] = {
    "headers": {},
    "x-consistent-hash": {"hash-header": "a"},
    "x-recent-history": {},
    "x-delayed-message": {"x-delayed-type": "topic"},
}
END = "the.end"


class Odd:
    """Makes messages of every protocol."""

    def __init__(self, seed: int, broker: Broker) -> None:
        self.random = random.Random(seed)
        self._mqtt = {version: Talker(broker.mqtt_port, version) for version in (4, 5)}
        for version, talker in self._mqtt.items():
            talker.connect(f"writer{version}")
        self._stomp = Talking(broker.stomp_address)
        self._stomp.connect()
        self.kafka = confluent_kafka.Producer({"bootstrap.servers": broker.kafka_bootstrap, "linger.ms": 0})

    def text(self, *, nul: bool = False) -> str:
        made = "".join(self.random.choices(LETTERS, k=self.random.choice((0, 1, 2, 3, 20))))
        made += self.random.choice(LONG) if self.random.random() < 0.15 else ""
        return made + "\0" if nul and self.random.random() < 0.1 else made

    def short(self) -> str:
        return self.text(nul=True).encode()[:255].decode(errors="ignore")

    def name(self) -> str:
        return self.random.choice(SPECIAL) if self.random.random() < 0.4 else self.text()

    def some(self, *made: Callable[[], Any], most: int = 4) -> Iterator[tuple[Any, ...]]:
        for _ in range(self.random.randrange(most + 1)):
            yield tuple(make() for make in made)

    def value(self) -> Any:
        plain = (True, None, 1, -1, 1 << 40, -(1 << 62), b"\xff\0", b"text", Decimal("1.25"), [1, "a", [2]])
        return self.random.choice(
            (self.text(nul=True), {"x": {"y": self.text()}}, [{"count": 1 << 62}], *plain)
        )

    def body(self) -> bytes:
        return self.random.choice((b"", b"x", b"\0\xff" * 50, b"<map/>"))

    def amqp(self, channel: Any) -> None:
        pick = self.random.choice
        said = pika.BasicProperties(
            headers=dict(self.some(lambda: self.name().encode()[:255].decode(errors="ignore"), self.value))
            | pick(({}, {"CC": [self.short()]})),
            delivery_mode=pick((None, 1, 2, 7)),
            priority=pick((None, 0, 255)),
            expiration=pick((None, None, "0", "315360000000")),
            timestamp=pick((None, 0, (1 << 64) - 1)),
        )
        for field in ("content_type", "correlation_id", "reply_to", "message_id", "type"):
            setattr(said, field, pick((None, self.short())))
        channel.basic_publish("amq.topic", self.short(), self.body(), said)

    def mqtt(self, channel: Any) -> None:
        pick, version = self.random.choice, self.random.choice((4, 5))
        said: dict[str, Any] = {}
        if version == 5:
            said = {
                "content_type": self.text(),
                "response_topic": self.text(),
                "correlation_data": pick((b"", b"\xff" * 300, b"text")),
                "user_property": list(self.some(self.name, self.text)),
                "message_expiry_interval": pick((0, 1, 0xFFFFFFFF)),
            }
            said = {key: value for key, value in said.items() if pick((True, False))}
        topic = "".join(letter for letter in self.text()[:40] if letter not in "+#$") or "t"
        self._mqtt[version].publish(
            topic, self.body(), qos=pick((0, 1, 2)), retain=pick((True, False)), **said
        )

    def stomp(self, channel: Any) -> None:
        said = dict(self.some(lambda: self.name().encode()[:200].decode(errors="ignore"), self.text))
        said = {
            name: value for name, value in said.items() if name not in ("", "destination", "content-length")
        }
        for name in ("content-type", "correlation-id", "reply-to", "type"):
            said |= dict(self.some(lambda name=name: name, self.text, most=1))  # type: ignore[misc]
        said["destination"] = f"/topic/{quote(self.text() or 't', safe='')}"
        escaped = {
            _escaped(name): _escaped(value) if name != "destination" else value
            for name, value in said.items()
        }
        self._stomp.done("SEND", escaped, self.body())

    def record(self, channel: Any) -> None:
        pick = self.random.choice
        contents = (
            None,
            b"",
            b"\xff",
            b"9" * 30,
            b'{"x":"I","amqp.header.x":"*"}',
            b"[1]",
            b"\0\0\0\5\1aI\0\0\0\1",
        )
        headers = list(self.some(self.name, lambda: pick((*contents, self.text().encode()))))
        key = pick((None, b"", b"\xff" * 300, self.text().encode()))
        self.kafka.produce("records", pick((None, self.body())), key=key, headers=headers)


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r").replace(":", "\\c")


def prepared(channel: Any) -> list[str]:
    """Everything that messages may go through; return the queues that are read."""
    for name, arguments in QUEUES.items():
        channel.queue_declare(name, durable=True, arguments=arguments)
        channel.queue_bind(name, "amq.topic", "#")
    channel.queue_declare("dead", durable=True)
    channel.queue_bind("dead", "amq.fanout", "")
    for kind, arguments in EXCHANGES.items():
        channel.exchange_declare(kind, kind, arguments=arguments)
        channel.exchange_bind(kind, "amq.topic", "#")
        channel.queue_declare(f"by {kind}")
        match = {"x-match": "any", "a": "b"} if kind == "headers" else {}
        channel.queue_bind(f"by {kind}", kind, "1" if "hash" in kind else "#", match)
    # What dies has no wish to be the last word of its queue, and headers choose what comes.
    return [name for name in QUEUES if name != "dying"] + [
        f"by {kind}" for kind in EXCHANGES if kind != "headers"
    ]


@contextlib.contextmanager
def connected(broker: Broker) -> Iterator[pika.BlockingConnection]:
    """A connection of AMQP. In the end pika gives back what has come late, which no stream takes."""
    connection = pika.BlockingConnection(pika.URLParameters(broker.amqp_url))
    yield connection
    with contextlib.suppress(AMQPError):
        connection.close()


def reader(open_queues: dict[str, None], queue: str, *, returns: bool) -> Callable[..., None]:
    """Takes messages of a queue; the queue is open until the last one has come. `returns`: each of them comes
    twice."""

    def act(channel: Any, method: Any, properties: pika.BasicProperties, body: bytes) -> None:
        if returns and not method.redelivered:
            channel.basic_nack(method.delivery_tag)
            return
        channel.basic_ack(method.delivery_tag)
        if body == END.encode():
            open_queues.pop(queue, None)

    return act


@pytest.mark.row("R141", "R142", "A65", "K4")
@pytest.mark.parametrize("seed", [1, 2])
def test_what_one_says_is_the_end_of_no_other(seed: int) -> None:
    with Broker(mqtt_port=0, stomp_port=0, kafka_port=0) as broker, connected(broker) as connection:
        channel = connection.channel()
        channel.basic_qos(prefetch_count=100)
        open_queues = dict.fromkeys(prepared(channel))
        stomps = [Talking(broker.stomp_address) for _ in ("1.0", "1.1", "1.2")]
        for version, client in zip(("1.0", "1.1", "1.2"), stomps, strict=True):
            client.connect(version)
            client.done("SUBSCRIBE", {"id": "s", "destination": "/topic/#"})
        talkers = []
        for version, filter_, qos in (
            (3, "#", 2),
            (4, "#", 1),
            (5, "#", 0),
            (5, "$share/g/#", 2),
            (5, "+/+", 2),
        ):
            talkers.append(Talker(broker.mqtt_port, version))
            talkers[-1].connect(f"reader{len(talkers)}")
            assert talkers[-1].subscribe(filter_, qos=qos) == [qos]

        odd = Odd(seed, broker)
        odd.kafka.produce("records", b"first")
        assert odd.kafka.flush(20) == 0
        open_queues["records"] = None
        for queue in list(open_queues):
            from_start = {"x-stream-offset": "first"} if queue in ("stream", "records") else {}
            act = reader(open_queues, queue, returns=not from_start)
            channel.basic_consume(queue, act, arguments=from_start)
        for _ in range(MESSAGES):
            odd.random.choice((odd.amqp, odd.mqtt, odd.stomp, odd.record))(channel)
            connection.process_data_events(0)
        channel.basic_publish("amq.topic", END, END.encode(), pika.BasicProperties(headers={"a": "b"}))
        odd.kafka.produce("records", END.encode())
        assert odd.kafka.flush(20) == 0
        for _ in range(200):
            if open_queues:
                connection.process_data_events(0.1)
        assert not open_queues
        for client in stomps:
            while client.message().body != END.encode():
                pass
        for talker in talkers:
            while (message := talker.receive()).fields["topic"] != END.replace(".", "/"):
                assert message.kind == PUBLISH
                assert message.fields["topic"]
                assert not {*"+#\0"} & {*message.fields["topic"]}
        assert broker.call(lambda server: server.core.failure) is None
