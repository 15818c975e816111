"""Messages over ActiveMQ's HTTP port (A80), by its documentation."""

from __future__ import annotations

import threading
import time
from base64 import b64encode
from collections.abc import Iterator
from http.client import HTTPConnection
from typing import NamedTuple

import pika
import pytest

from bench.peers import await_true
from pillarbox import Broker
from pillarbox.broker.auth import Permission, User, hash_password

HOST = "127.0.0.1"


@pytest.fixture
def broker() -> Iterator[Broker]:
    with Broker(activemq_http_port=0) as running:
        yield running


class Reply(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes


class Asking:
    def __init__(self, broker: Broker, user: str = "guest") -> None:
        self.port = broker.call(lambda server: server.activemq_http_addresses[0][1])
        self.authorization = "Basic " + b64encode(f"{user}:{user}".encode()).decode()

    def __call__(self, method: str, path: str, body: bytes | None = None, kind: str = "") -> Reply:
        connection = HTTPConnection(HOST, self.port, timeout=60)
        headers = {"Authorization": self.authorization, **({"Content-Type": kind} if kind else {})}
        connection.request(method, f"/api/message{path}", body, headers)
        answer = connection.getresponse()
        found = Reply(
            answer.status, {name.lower(): text for name, text in answer.getheaders()}, answer.read()
        )
        connection.close()
        return found


@pytest.fixture
def ask(broker: Broker) -> Asking:
    return Asking(broker)


@pytest.mark.row("A80")
def test_what_is_posted_can_be_taken_once(ask: Asking) -> None:
    sent = ask("POST", "/orders?type=queue", b"body=hello%20%C3%BC&colour=red")
    assert (sent.status, sent.body) == (200, b"Message sent")
    assert sent.headers["messageid"].startswith("ID:")
    ask("POST", "?destination=queue://orders", b"as it is \xff", "text/plain")
    first = ask("GET", "/orders?type=queue&oneShot=true")
    assert (first.status, first.body.decode()) == (200, "hello ü")
    assert first.headers["destination"] == "queue://orders"
    assert first.headers["id"] == sent.headers["messageid"]
    assert ask("DELETE", "?destination=queue://orders").body == b"as it is \xff"
    assert ask("GET", "/orders?type=queue&readTimeout=50").status == 204


@pytest.mark.row("A80")
def test_amqp_clients_see_properties_and_headers(broker: Broker, ask: Asking) -> None:
    ask("POST", "/a/b?type=queue&JMSPriority=7&JMSTimeToLive=60000&JMSCorrelationID=c&shade=dark", b"body=x")
    connection = pika.BlockingConnection(pika.URLParameters(broker.amqp_url))
    _, properties, body = connection.channel().basic_get("a.b", auto_ack=True)
    connection.close()
    assert body == b"x"
    assert (properties.priority, properties.expiration, properties.correlation_id) == (7, "60000", "c")
    assert (properties.delivery_mode, properties.headers) == (2, {"shade": "dark"})


def await_readers(broker: Broker) -> None:
    """Until somebody reads from a queue."""

    def there() -> bool:
        return broker.call(
            lambda server: any(one.consumer_count for one in server.core.vhosts["/"].queues.values())
        )

    await_true(there, 20, "a reader")


@pytest.mark.row("A80")
def test_a_reader_waits_for_a_message(broker: Broker, ask: Asking) -> None:
    found: list[Reply] = []
    reader = threading.Thread(target=lambda: found.append(ask("GET", "/late?type=queue&readTimeout=20000")))
    reader.start()
    await_readers(broker)
    ask("POST", "/late?type=queue", b"body=now")
    reader.join(20)
    assert [(each.status, each.body) for each in found] == [(200, b"now")]


@pytest.mark.row("A80")
def test_a_topic_reaches_who_waits(broker: Broker, ask: Asking) -> None:
    found: list[Reply] = []
    reader = threading.Thread(target=lambda: found.append(ask("GET", "/news.x?type=topic&readTimeout=20000")))
    assert ask("POST", "/news.x?type=topic", b"body=nobody").status == 200
    reader.start()
    await_readers(broker)
    ask("POST", "/news.x?type=topic", b"body=heard")
    reader.join(20)
    assert [(each.body, each.headers["destination"]) for each in found] == [(b"heard", "topic://news.x")]


@pytest.mark.row("A80")
@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "", 400),
        ("GET", "/x?type=exchange", 400),
        ("POST", "?destination=nothing://x", 400),
        ("PUT", "/x?type=queue", 405),
        ("GET", "/x?type=queue&readTimeout=0", 204),
        ("GET", "/x?type=queue&readTimeout=99999999999999999999", 400),
    ],
)
def test_what_is_wrong_is_told(ask: Asking, method: str, path: str, status: int) -> None:
    assert ask(method, path).status == status


@pytest.mark.row("A80")
def test_permissions_are_those_of_any_client(broker: Broker, ask: Asking) -> None:
    def add(server: object) -> None:
        core = server.core  # type: ignore[attr-defined]
        core.put_user(User("ann", hash_password("ann", b"salt")))
        core.set_permission(Permission("ann", "/", "^$", "^amq", "^open$"))

    broker.call(add)
    ask("POST", "/closed?type=queue", b"body=x")
    ask("POST", "/open?type=queue", b"body=x")
    ann = Asking(broker, "ann")
    assert ann("GET", "/closed?type=queue").status in (400, 403)
    assert ann("GET", "/open?type=queue").body == b"x"
    assert ann("GET", "/new?type=queue&readTimeout=10").status in (400, 403)
    assert Asking(broker, "nobody")("GET", "/open?type=queue").status == 401


@pytest.mark.row("A80")
def test_a_message_makes_no_page(ask: Asking) -> None:
    ask("POST", "/page?type=queue", b"body=%3Cscript%3E")
    found = ask("GET", "/page?type=queue")
    assert found.headers["content-type"].startswith("text/plain")
    assert found.headers["x-content-type-options"] == "nosniff"


@pytest.mark.row("A80")
def test_who_has_gone_takes_no_message(broker: Broker, ask: Asking) -> None:
    connection = HTTPConnection(HOST, ask.port, timeout=60)
    connection.request("GET", "/api/message/q?type=queue", None, {"Authorization": ask.authorization})
    await_readers(broker)
    connection.sock.close()
    await_true(
        lambda: broker.call(lambda server: not server.core.vhosts["/"].queues["q"].consumer_count), 20, "gone"
    )
    ask("POST", "/q?type=queue", b"body=still%20there")
    assert ask("GET", "/q?type=queue").body == b"still there"


def test_a_stop_does_not_wait_for_readers(broker: Broker, ask: Asking) -> None:
    connection = HTTPConnection(HOST, ask.port, timeout=60)
    connection.request("GET", "/api/message/q?type=queue", None, {"Authorization": ask.authorization})
    await_readers(broker)
    began = time.monotonic()
    broker.stop()
    assert time.monotonic() - began < 15
    connection.close()
