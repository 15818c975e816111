"""Jolokia on Pillarbox against what it answers on ActiveMQ (A81)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest

from pillarbox import Broker
from pillarbox.broker.auth import User, hash_password
from pillarbox.ops.activemq.names import parse
from tests.activemq_http.steps import BROKER, HOST, MAP, ORDERS, STEPS, TEXT, ask, fill, play, queue

RECORDING = json.loads((Path(__file__).resolve().parent / "recording.json").read_text())


@pytest.fixture
def broker() -> Iterator[Broker]:
    with Broker(activemq_http_port=0, stomp_port=0) as running:
        fill(running.stomp_address[1])
        yield running


@pytest.fixture
def port(broker: Broker) -> int:
    found: int = broker.call(lambda server: server.activemq_http_addresses[0][1])
    return found


def value(port: int, step: Any) -> Any:
    status, body = ask(port, step)
    document = json.loads(body)
    assert (status, document["status"]) == (200, 200), document
    return document["value"]


@pytest.mark.row("A81")
def test_answers_are_those_of_activemq(port: int) -> None:
    """Reads, searches, operations, several at once, and everything that may be wrong with them."""
    for step, recorded, found in zip(STEPS, RECORDING["answers"], play(port), strict=True):
        assert found == recorded, step


@pytest.mark.row("A81")
def test_browse_shows_messages_and_leaves_them(port: int) -> None:
    send = {"type": "exec", "mbean": ORDERS, "operation": f"sendTextMessage({MAP},{TEXT})"}
    value(port, send | {"arguments": [{"JMSCorrelationID": "c", "JMSType": "t", "JMSPriority": 7}, "ü"]})
    found = value(port, f"exec/{ORDERS}/browse()")
    assert [each["Text"] for each in found] == ["m0", "m1", "m2", "ü"]
    assert found[1]["StringProperties"]["n"] == "1"
    assert (found[3]["JMSCorrelationID"], found[3]["JMSType"], found[3]["JMSPriority"]) == ("c", "t", 7)
    assert found[3]["BodyPreview"] == [-61, -68]
    assert [each["Text"] for each in value(port, f"exec/{ORDERS}/browse({TEXT})/n = '2'")] == ["m2"]
    assert value(port, f"read/{ORDERS}/QueueSize") == 4
    assert [each["Text"] for each in value(port, f"exec/{ORDERS}/browse()")] == ["m0", "m1", "m2", "ü"]


@pytest.mark.row("A81")
def test_monitors_find_what_they_read(port: int) -> None:
    """What KEDA's scaler and scripts of Nagios ask for."""
    of_queue = value(port, f"read/{ORDERS}")
    assert of_queue["QueueSize"] == of_queue["EnqueueCount"] == 3
    assert {"DequeueCount", "DispatchCount", "ExpiredCount", "ConsumerCount", "ProducerCount"} <= set(
        of_queue
    )
    of_broker = value(port, f"read/{BROKER}")
    assert of_broker["Queues"] == [{"objectName": parse(ORDERS).canonical}]
    assert {"StorePercentUsage", "TempPercentUsage", "MemoryPercentUsage"} <= set(of_broker)
    listed = value(port, f"list/org.apache.activemq/{ORDERS.partition(':')[2]}/op")
    assert "purge" in listed
    assert value(port, "")["info"] == {"product": "activemq", "vendor": "Apache", "version": "5.17.2"}


@pytest.mark.row("A81")
def test_who_may(broker: Broker, port: int) -> None:
    for name, tags in (("watcher", ("monitoring",)), ("nobody", ())):
        user = User(name, hash_password(name, b"salt"), tags=tags)
        broker.call(lambda server, user=user: server.core.put_user(user))
    assert ask(port, f"read/{ORDERS}/QueueSize", "stranger")[0] == 401
    assert ask(port, f"read/{ORDERS}/QueueSize", "nobody")[0] == 403
    assert json.loads(ask(port, f"read/{ORDERS}/QueueSize", "watcher")[1])["value"] == 3
    assert json.loads(ask(port, f"exec/{ORDERS}/purge", "watcher")[1])["status"] == 403
    assert value(port, f"read/{ORDERS}/QueueSize") == 3


@pytest.mark.row("A81")
@pytest.mark.parametrize(
    "headers", [{"Origin": "http://evil.example"}, {"Sec-Fetch-Site": "cross-site"}, {"Origin": "null"}]
)
def test_a_page_of_another_site_may_do_nothing(port: int, headers: dict[str, str]) -> None:
    connection = HTTPConnection(HOST, port, timeout=60)
    known = {"Authorization": "Basic Z3Vlc3Q6Z3Vlc3Q="}
    connection.request("GET", f"/api/jolokia/exec/{ORDERS}/purge", None, {**known, **headers})
    assert connection.getresponse().status == 403
    connection.close()
    assert value(port, f"read/{ORDERS}/QueueSize") == 3


@pytest.mark.row("A81")
@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[[", b"null", b"3", b"[1]", b'"x"', b'{"type": 5}', b'{"type": "exec"}', b"[" * 5000]
    + [
        json.dumps({"type": "exec", "mbean": ORDERS, "operation": "purge", "arguments": each}).encode()
        for each in ("x", {"a": 1}, [None])
    ]
    + [
        json.dumps({"type": "read", "mbean": ORDERS, "attribute": each}).encode()
        for each in (5, {"a": 1}, [[1]])
    ]
    + [
        json.dumps(
            {
                "type": "exec",
                "mbean": ORDERS,
                "operation": f"removeMatchingMessages({TEXT},int)",
                "arguments": ["", "many"],
            }
        ).encode()
    ],
)
def test_nonsense_is_told_and_does_no_harm(port: int, body: bytes) -> None:
    connection = HTTPConnection(HOST, port, timeout=60)
    connection.request("POST", "/api/jolokia/", body, {"Authorization": "Basic Z3Vlc3Q6Z3Vlc3Q="})
    answer = connection.getresponse()
    assert answer.status in (200, 400)
    if answer.status == 200:
        found = json.loads(answer.read())
        for each in found if isinstance(found, list) else [found]:
            assert each["status"] in (200, 400, 404), each
    connection.close()
    assert value(port, f"read/{ORDERS}/QueueSize") == 3


def test_queues_of_others_and_a_bound_of_messages(port: int) -> None:
    """Removing takes as many as it is told, from the head."""
    step = {"type": "exec", "mbean": ORDERS, "operation": f"removeMatchingMessages({TEXT},int)"}
    assert value(port, step | {"arguments": ["", 2]}) == 2
    assert [each["Text"] for each in value(port, f"exec/{ORDERS}/browse()")] == ["m2"]
    assert json.loads(ask(port, f"read/{queue('none')}/QueueSize")[1])["status"] == 404
