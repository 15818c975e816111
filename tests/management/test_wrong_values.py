"""Values that no broker can take are refused in words, and none of them is a mistake of the broker's own."""

from __future__ import annotations

import base64
import json
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from pillarbox import Broker
from tests.management.http import Client

LONG = "a" * 256
"""More than a short string of AMQP holds: no client could ever say it."""
MESSAGE = {"properties": {}, "routing_key": "q", "payload": "x", "payload_encoding": "string"}


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("PUT", f"queues/%2F/{LONG}", {}),
        ("PUT", f"exchanges/%2F/{LONG}", {}),
        ("PUT", f"vhosts/{LONG}", {}),
        ("PUT", f"users/{LONG}", {"password": "x", "tags": ""}),
        ("PUT", f"queues/%2F/{'%C3%A4' * 128}", {}),
        ("PUT", f"stream/super-streams/%2F/{LONG[2:]}", {"partitions": 3}),
        ("PUT", "stream/super-streams/%2F/s", {"binding-keys": LONG}),
        ("POST", "bindings/%2F/e/amq.topic/q/q", {"routing_key": LONG}),
        ("POST", "exchanges/%2F/amq.topic/publish", {**MESSAGE, "routing_key": LONG}),
        ("POST", f"exchanges/%2F/{LONG}/publish", MESSAGE),
        ("POST", f"destinations/%2F/queue/{LONG}", {"body": "x"}),
    ],
    ids=lambda value: value[:24] if isinstance(value, str) else "",
)
def test_name_that_no_client_can_say_is_refused(api: Client, method: str, path: str, body: Any) -> None:
    """AMQP 0-9-1, 4.2.5.3: 255 bytes. It was made, out of everybody's reach, or answered 500."""
    assert api.request("PUT", "queues/%2F/q", {}).status == 201
    reply = api.request(method, path, body)
    assert (reply.status, reply.document["error"]) == (400, "bad_request")
    assert "should be less than 255 bytes" in reply.document["reason"]


def test_name_of_255_bytes_is_taken(api: Client) -> None:
    assert api.request("PUT", f"queues/%2F/{LONG[1:]}", {}).status == 201
    assert api.get(f"queues/%2F/{LONG[1:]}")["name"] == LONG[1:]


@pytest.mark.parametrize(
    "query",
    ["page={}", "page=1&page_size={}", "lengths_age={}&lengths_incr=5", "lengths_age=60&lengths_incr={}"],
)
def test_number_of_thousands_of_digits_is_refused(api: Client, query: str) -> None:
    """Python reads no more than 4,300 of them."""
    api.request("PUT", "queues/%2F/q", {})
    reply = api.request("GET", f"queues?{query.format('9' * 5000)}")
    assert reply.status == 400
    assert len(reply.body) < 300


def test_jolokia_and_messages_of_activemq_refuse_what_cannot_be_written() -> None:
    with Broker(activemq_http_port=0, schema_registry_port=0) as broker:
        port = broker.call(lambda server: server.operator_addresses["activemq-http"][0][1])
        login = {"Authorization": "Basic " + base64.b64encode(b"guest:guest").decode()}

        def ask(url: str, body: bytes | None = None) -> tuple[int, bytes]:
            try:
                with urlopen(Request(url, body, login)) as answer:
                    return answer.status, answer.read()
            except HTTPError as error:
                return error.code, error.read()

        url = f"http://127.0.0.1:{port}/api"
        assert ask(f"{url}/message/q?type=queue", b"body=x")[0] == 200
        assert ask(f"{url}/message/q?type=queue&JMSTimeToLive={'9' * 5000}", b"body=x")[0] == 400
        assert ask(f"{url}/message/{LONG}?type=queue&readTimeout=1")[0] == 400
        bean = "org.apache.activemq:type=Broker,brokerName=localhost"
        queue = f"{bean},destinationType=Queue,destinationName=q"
        send = "sendTextMessage(java.util.Map,java.lang.String)"
        calls = ((bean, "addQueue", [LONG]), (queue, send, [{"JMSType": LONG}, "x"]))
        for name, operation, arguments in calls:
            asked = {"type": "exec", "mbean": name, "operation": operation, "arguments": arguments}
            status, found = ask(f"{url}/jolokia", json.dumps(asked).encode())
            assert (status, json.loads(found)["status"]) == (200, 500)
            assert b"255" in found
        registry = broker.schema_registry_url
        assert ask(f"{registry}/subjects?offset={10**20}&limit={10**20}") == (200, b"[]")
