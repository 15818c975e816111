"""Traces over HTTP (R75): the firehose written to files, as RabbitMQ's plugin rabbitmq_tracing has it."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

import pika
import pytest
from pika.adapters.blocking_connection import BlockingChannel

from pillarbox import Broker
from pillarbox.ops.management import tracing
from tests.management.http import Client, basic, client

pytestmark = pytest.mark.row("R75", "R119")

TRACE = {"format": "json", "pattern": "#"}


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    with Broker(management_port=0, data=tmp_path / "data") as broker:
        yield broker


@pytest.fixture
def api(broker: Broker) -> Iterator[Client]:
    with client(broker) as found:
        yield found


@pytest.fixture
def channel(broker: Broker) -> Iterator[BlockingChannel]:
    connection = pika.BlockingConnection(pika.URLParameters(broker.amqp_url))
    channel = connection.channel()
    channel.queue_declare("q", durable=True)
    channel.confirm_delivery()
    yield channel
    connection.close()


def text_of(broker: Broker, name: str) -> str:
    address = urlsplit(broker.management_url)
    connection = HTTPConnection(str(address.hostname), address.port or 0, timeout=30)
    connection.request("GET", f"/api/trace-files/{name}", headers={"authorization": basic("guest", "guest")})
    answer = connection.getresponse()
    text = answer.read().decode()
    assert (answer.status, answer.getheader("content-type")) == (200, "text/plain"), text
    connection.close()
    return text


def until(broker: Broker, name: str, enough: Callable[[str], bool]) -> str:
    """The text, as soon as it has come: a trace is written a moment after its messages."""
    return next(text for text in (text_of(broker, name) for _ in range(2000)) if enough(text))


def test_trace_has_what_was_published_and_received(
    broker: Broker, api: Client, channel: BlockingChannel
) -> None:
    assert api.request("PUT", "traces/%2F/all", {**TRACE, "max_payload_bytes": 3}).status == 201
    channel.basic_publish("", "q", b"hello", pika.BasicProperties(type="greeting"))
    channel.basic_get("q", auto_ack=True)
    lines = until(broker, "all.log", lambda text: text.count("\n") == 2).splitlines()
    published, received = map(json.loads, lines)
    assert (published["type"], received["type"]) == ("published", "received")
    assert (published["routed_queues"], published["queue"]) == (["q"], "none")
    assert (received["routed_queues"], received["queue"]) == ("none", "q")
    assert published["routing_keys"] == ["q"]
    assert published["properties"]["type"] == "greeting"
    assert base64.b64decode(published["payload"]) == b"hel"
    (shown,) = api.get("traces")
    assert (shown["name"], shown["vhost"], shown["max_payload_bytes"]) == ("all", "/", 3)
    assert api.get("traces/%2F/all")["size"] == api.get("trace-files")[0]["size"] > 0
    assert api.get("traces/%2F") == api.get("traces")


def test_trace_as_text_of_the_keys_that_fit(broker: Broker, api: Client, channel: BlockingChannel) -> None:
    api.request("PUT", "traces/%2F/got", {"format": "text", "pattern": "deliver.#"})
    channel.basic_publish("", "q", b"hello")
    channel.basic_get("q", auto_ack=True)
    text = until(broker, "got.log", lambda text: text.endswith("hello\n"))
    assert text.count("Message received") == 1
    assert "Message published" not in text
    assert "Queue:        q\n" in text
    assert 'Routing keys: ["q"]\n' in text


def test_deleted_trace_leaves_its_file_and_turns_tracing_off(
    broker: Broker, api: Client, channel: BlockingChannel
) -> None:
    for name in ("one", "two"):
        api.request("PUT", f"traces/%2F/{name}", TRACE)
    channel.basic_publish("", "q", b"x")
    for name in ("one", "two"):
        until(broker, f"{name}.log", bool)
    assert api.request("DELETE", "trace-files/one.log").status == 400, "a trace writes to it"
    for name, tracing_on in (("one", True), ("two", False)):
        assert api.request("DELETE", f"traces/%2F/{name}").status == 204
        assert api.get("vhosts/%2F")["tracing"] is tracing_on
    assert api.request("DELETE", "traces/%2F/two").status == 404
    assert [file["name"] for file in api.get("trace-files")] == ["one.log", "two.log"]
    assert api.request("DELETE", "trace-files/one.log").status == 204
    assert api.request("GET", "trace-files/one.log").status == 404


def test_full_trace_ends_and_a_new_one_goes_on_behind_it(
    broker: Broker, api: Client, channel: BlockingChannel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tracing, "FILE_BYTES_MAX", 5000)
    api.request("PUT", "traces/%2F/small", TRACE)
    for _ in range(100):
        channel.basic_publish("", "q", b"x")
    until(broker, "small.log", lambda text: len(text) >= 5000)
    assert next(found for found in (api.get("traces") for _ in range(2000)) if not found) == []
    size = api.get("trace-files")[0]["size"]
    assert 5000 <= size < 6000
    monkeypatch.undo()
    api.request("PUT", "traces/%2F/small", TRACE)
    channel.basic_publish("", "q", b"x")
    assert len(until(broker, "small.log", lambda text: len(text) > size)) < 2 * size


def test_more_messages_than_a_trace_gets_at_once(
    broker: Broker, api: Client, channel: BlockingChannel
) -> None:
    api.request("PUT", "traces/%2F/many", TRACE)
    for _ in range(4 * tracing.AT_ONCE):
        channel.basic_publish("", "q", b"x")
    until(broker, "many.log", lambda text: text.count("\n") == 4 * tracing.AT_ONCE)


def test_broker_stops_with_a_trace_and_its_file_is_there_after_the_start(tmp_path: Path) -> None:
    for expected in (0, 1):
        with Broker(management_port=0, data=tmp_path) as broker, client(broker) as api:
            assert len(api.get("trace-files")) == expected
            assert api.get("traces") == []
            assert api.request("PUT", "traces/%2F/kept", TRACE).status == 201


@pytest.mark.parametrize(
    ("name", "body", "status", "words"),
    [
        ("t", {"format": "xml", "pattern": "#"}, 400, "format not json or text"),
        ("t", {"format": "json"}, 400, "pattern"),
        ("t", {**TRACE, "max_payload_bytes": "many"}, 400, "max_payload_bytes"),
        ("t", {**TRACE, "max_payload_bytes": -1}, 400, "max_payload_bytes"),
        ("..%2F..%2Fevil", TRACE, 400, "the name of a trace"),
        (".hidden", TRACE, 400, "the name of a trace"),
        ("a%00b", TRACE, 400, "the name of a trace"),
        ("x" * 201, TRACE, 400, "the name of a trace"),
    ],
)
def test_what_is_no_trace_is_refused_and_leaves_no_file(
    api: Client, tmp_path: Path, name: str, body: dict[str, object], status: int, words: str
) -> None:
    reply = api.request("PUT", f"traces/%2F/{name}", body)
    assert (reply.status, words in reply.document["reason"]) == (status, True), reply.document
    assert api.get("traces") == api.get("trace-files") == []
    assert not (tmp_path / "data" / "traces").exists()


def test_files_beside_those_of_traces_are_not_shown(broker: Broker, api: Client, tmp_path: Path) -> None:
    api.request("PUT", "traces/%2F/t", TRACE)
    for name in ("..", "%2E%2E%2Fpillarbox.lock", "..%2F..%2Fetc%2Fpasswd", "t"):
        assert api.request("GET", f"trace-files/{name}").status == 404
        assert api.request("DELETE", f"trace-files/{name}").status == 404


def test_only_administrators_trace(broker: Broker, api: Client) -> None:
    api.request("PUT", "users/clerk", {"password": "x", "tags": "monitoring,policymaker"})
    api.request("PUT", "permissions/%2F/clerk", {"configure": ".*", "write": ".*", "read": ".*"})
    with client(broker, "clerk", "x") as clerk:
        for method, path in (("PUT", "traces/%2F/t"), ("GET", "traces"), ("GET", "trace-files")):
            assert clerk.request(method, path, TRACE if method == "PUT" else None).status == 401
    assert api.get("traces") == []


def test_broker_without_a_data_folder_says_so() -> None:
    with Broker(management_port=0) as broker, client(broker) as api:
        reply = api.request("PUT", "traces/%2F/t", TRACE)
        assert (reply.status, "data folder" in reply.document["reason"]) == (400, True)
        assert api.get("trace-files") == []
