"""The firehose: copies of what is published and delivered in a traced virtual host, and files of them."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator
from typing import Any

import pika
from pamqp import commands
from pika.adapters.blocking_connection import BlockingChannel

from tests.compare_events.case import WAIT_S, Case
from tests.transcripts.registry import scenario

PROPERTIES = pika.BasicProperties(
    content_type="text/plain",
    content_encoding="enc",
    headers={
        "a": 1,
        "long": 1 << 40,
        "b": [True, None, "x"],
        "t": {"n": -1},
        "CC": ["k.cc"],
        "BCC": ["k.bcc"],
    },
    delivery_mode=2,
    priority=3,
    correlation_id="c",
    reply_to="r",
    expiration="60000",
    message_id="m",
    timestamp=1_700_000_000,
    type="ty",
    user_id="guest",
    app_id="app",
    cluster_id="clu",
)


@contextlib.contextmanager
def traced(case: Case) -> Iterator[BlockingChannel]:
    """A channel with a queue that is bound to amq.topic, in a traced virtual host."""
    case.http("PUT", "vhosts", "/", body={"tracing": True})
    channel = case.channel()
    channel.queue_declare("q", durable=True)
    channel.queue_declare("r", durable=True)
    channel.queue_bind("q", "amq.topic", "k.#")
    channel.queue_bind("r", "amq.topic", "both.#")
    channel.queue_bind("q", "amq.topic", "both.#")
    yield channel
    case.http("PUT", "vhosts", "/", body={"tracing": False})
    channel.queue_delete("q")
    channel.queue_delete("r")
    case.pass_over()


@scenario("R75")
def published_and_got(case: Case) -> None:
    with traced(case) as channel:
        channel.basic_publish("amq.topic", "k.1", b"hello", PROPERTIES)
        case.copied("published with everything", 1)
        method, _, _ = channel.basic_get("q")
        case.copied("got", 1)
        channel.basic_nack(method.delivery_tag)
        channel.basic_get("q", auto_ack=True)
        case.copied("got again", 1)
        channel.basic_publish("", "q", b"")
        channel.basic_get("q", auto_ack=True)
        case.copied("nothing but a route", 2)
        channel.basic_get("q", auto_ack=True)
        case.copied("nothing to get", 0)


@scenario("R75")
def routes(case: Case) -> None:
    with traced(case) as channel:
        channel.basic_publish("amq.topic", "both.1", b"x")
        case.copied("to two queues", 1)
        channel.basic_publish("amq.topic", "nowhere", b"x", mandatory=True)
        case.copied("to none", 1)
        channel.basic_publish("", "nowhere", b"x")
        case.copied("to a queue that is not there", 1)
        channel.basic_publish("", "q", b"x", pika.BasicProperties(headers={"CC": ["r", "nowhere"]}))
        case.copied("to those that the sender selects", 1)
        channel.exchange_declare("e", "fanout")
        channel.exchange_bind("amq.topic", "e")
        channel.basic_publish("e", "k.2", b"x")
        case.copied("through two exchanges", 1)
        channel.exchange_delete("e")
        channel.exchange_declare("e", "fanout", arguments={"alternate-exchange": "amq.topic"})
        channel.basic_publish("e", "k.2", b"x")
        case.copied("through an alternate exchange", 1)
        channel.exchange_delete("e")


@scenario("R75")
def delivered_to_consumers(case: Case) -> None:
    with traced(case) as channel:
        receiver = channel.connection.channel(7)
        receiver.basic_qos(prefetch_count=1)
        receiver.basic_consume("q", lambda *said: None, consumer_tag="t")
        channel.basic_publish("amq.topic", "k.1", b"x", pika.BasicProperties(delivery_mode=1))
        case.copied("published and delivered", 2)
        receiver.close()
        case.copied("back in its queue", 0)
        receiver = channel.connection.channel(8)
        receiver.basic_consume("q", lambda *said: None, auto_ack=True)
        case.copied("delivered again", 1)
        receiver.close()


@scenario("R62", "R75")
def in_transactions(case: Case) -> None:
    with traced(case) as channel:
        channel.tx_select()
        channel.basic_publish("", "q", b"rolled back")
        channel.tx_rollback()
        channel.basic_publish("", "q", b"committed")
        channel.tx_commit()
        case.copied("one rolled back, one committed", 2)


@scenario("R70", "R75")
def direct_replies(case: Case) -> None:
    with traced(case) as channel:
        raw = case.raw().open()
        raw.open_channel(1)
        raw.send(commands.Basic.Consume(queue="amq.rabbitmq.reply-to", no_ack=True), 1)
        raw.expect(commands.Basic.ConsumeOk, 1)
        raw.publish("q", b"question", properties=commands.Basic.Properties(reply_to="amq.rabbitmq.reply-to"))
        case.copied("asked", 1)
        _, properties, _ = channel.basic_get("q", auto_ack=True)
        case.copied("question got", 1)
        channel.basic_publish("", properties.reply_to, b"answer")
        case.copied("answered", 1)
        raw.socket.close()


@scenario("R75")
def over_http(case: Case) -> None:
    with traced(case):
        message = {"routing_key": "q", "properties": {}, "payload": "x", "payload_encoding": "string"}
        case.http("POST", "exchanges", "/", "amq.default", "publish", body=message)
        how = {"count": 1, "ackmode": "ack_requeue_false", "encoding": "auto"}
        case.http("POST", "queues", "/", "q", "get", body=how)
        case.copied("published and got", 2)


def _written(case: Case, name: str, enough: str) -> str:
    """What a trace has written, when it is all there."""
    deadline = time.monotonic() + WAIT_S
    text = ""
    while enough not in text and time.monotonic() < deadline:
        text = case.text("trace-files", f"{name}.log")
    return text


@scenario("R75", "R119")
def files_of_json(case: Case) -> None:
    with traced(case) as channel:
        case.http("PUT", "traces", "/", "j", body={"format": "json", "pattern": "#", "max_payload_bytes": 4})
        case.pass_over()
        channel.basic_publish("amq.topic", "k.1", b"hello", PROPERTIES)
        channel.basic_publish("", "q", b"x")
        channel.basic_get("q", auto_ack=True)
        channel.basic_publish("amq.fanout", "last", b"")
        for line in _written(case, "j", '"last"').splitlines():
            told = json.loads(line)
            if f"deliver.{case.target.watcher.queue}" != told["queue"] != case.target.watcher.queue:
                case.saw("line", _sorted(json.loads(case.shown(line))))
        case.http("DELETE", "traces", "/", "j")
        case.http("DELETE", "trace-files", "j.log")
        case.pass_over()


@scenario("R75", "R119")
def files_of_text(case: Case) -> None:
    with traced(case) as channel:
        case.http("PUT", "traces", "/", "t", body={"format": "text", "pattern": "publish.#"})
        case.pass_over()
        channel.basic_publish(
            "", "q", b"x", pika.BasicProperties(delivery_mode=2, headers={"a": 1, "b": "c"})
        )
        channel.basic_publish("amq.topic", "k.1", b"plain")
        channel.basic_publish("amq.fanout", "last", b"last")
        for line in _written(case, "t", "\nlast\n").splitlines():
            case.saw(case.shown(line))
        case.http("DELETE", "traces", "/", "t")
        case.http("DELETE", "trace-files", "t.log")
        case.http("PUT", "traces", "/", "d", body={"format": "text", "pattern": "deliver.q"})
        case.pass_over()
        channel.basic_get("q", auto_ack=True)
        for line in _written(case, "d", "\nx\n").splitlines():
            case.saw(case.shown(line))
        case.http("DELETE", "traces", "/", "d")
        case.http("DELETE", "trace-files", "d.log")
        case.pass_over()


def _sorted(told: dict[str, Any]) -> dict[str, Any]:
    """By name; queues have no order."""
    if isinstance(queues := told.get("routed_queues"), list):
        queues.sort()
    return {key: _sorted(value) if isinstance(value, dict) else value for key, value in sorted(told.items())}
