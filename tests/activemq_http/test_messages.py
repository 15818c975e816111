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
from pillarbox.ops.activemq import readers

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
        self.port = broker.call(lambda server: server.operator_addresses["activemq-http"][0][1])
        self.authorization = "Basic " + b64encode(f"{user}:{user}".encode()).decode()

    def __call__(
        self, method: str, path: str, body: bytes | None = None, kind: str = "", selector: str = ""
    ) -> Reply:
        connection = HTTPConnection(HOST, self.port, timeout=60)
        asked = {"Content-Type": kind, "selector": selector}
        headers = {
            "Authorization": self.authorization,
            **{name: text for name, text in asked.items() if text},
        }
        connection.request(method, f"/api/message{path}", body, headers)
        answer = connection.getresponse()
        headers = {name.lower(): ", ".join(answer.headers.get_all(name) or ()) for name in answer.headers}
        found = Reply(answer.status, headers, answer.read())
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


# --- readers that are kept ---------------------------------------------------------------------------------


@pytest.mark.row("A80")
def test_a_client_that_is_known_misses_nothing_of_a_topic(broker: Broker, ask: Asking) -> None:
    """Its subscription stays between requests, also where one of them has given up."""
    topic = "/news.>?type=topic&clientId=me"
    assert ask("GET", f"{topic}&readTimeout=0").status == 204
    for body in ("one", "two"):
        ask("POST", "/news.x?type=topic", f"body={body}".encode())
    assert [ask("GET", f"{topic}&readTimeout=20000").body for _ in range(2)] == [b"one", b"two"]
    assert ask("GET", f"{topic}&readTimeout=10").status == 204
    ask("POST", "/news.y?type=topic", b"body=three")
    assert ask("GET", f"{topic}&readTimeout=20000").headers["destination"] == "topic://news.y"
    assert ask("POST", "?clientId=me&action=unsubscribe").status == 200
    assert broker.call(lambda server: not server.core.vhosts["/"].queues)
    ask("POST", "/news.x?type=topic", b"body=four")
    assert ask("GET", f"{topic}&readTimeout=0").status == 204


@pytest.mark.row("A80")
def test_selectors(ask: Asking) -> None:
    """On a queue others stay, on a topic they pass."""
    for colour in ("red", "blue", "red"):
        ask("POST", "/orders?type=queue", f"body={colour}&colour={colour}".encode())
    found = ask("GET", "/orders?type=queue", selector="colour = 'blue'")
    assert (found.body, found.headers["colour"]) == (b"blue", "blue")
    assert ask("GET", "/orders?type=queue&readTimeout=10", selector="colour = 'blue'").status == 204
    assert [ask("GET", "/orders?type=queue").body for _ in range(2)] == [b"red", b"red"]
    topic = "/news?type=topic&clientId=me"
    assert ask("GET", f"{topic}&readTimeout=0", selector="n > 1").status == 204
    for number in range(4):
        ask("POST", "/news?type=topic", f"body={number}&n={number}".encode())
    assert [ask("GET", f"{topic}&readTimeout=20000").body for _ in range(2)] == [b"2", b"3"]
    assert ask("GET", "/orders?type=queue", selector="colour ===").status == 400


@pytest.mark.row("A80")
def test_one_shot_closes_the_reader_and_gives_back(broker: Broker, ask: Asking) -> None:
    for number in range(3):
        ask("POST", "/orders?type=queue", f"body={number}".encode())
    queue = "/orders?type=queue&clientId=me"
    assert ask("GET", queue).body == b"0"
    assert consumers(broker, "orders") == 1
    assert ask("GET", f"{queue}&oneShot=true").body == b"1"
    assert consumers(broker, "orders") == 0
    assert ask("GET", "/orders?type=queue").body == b"2"


def consumers(broker: Broker, queue: str) -> int:
    return broker.call(lambda server: server.core.vhosts["/"].queues[queue].consumer_count)


@pytest.mark.row("A80")
def test_a_reader_has_one_request_at_a_time_and_one_owner(broker: Broker, ask: Asking) -> None:
    def add(server: object) -> None:
        core = server.core  # type: ignore[attr-defined]
        core.put_user(User("ann", hash_password("ann", b"salt")))
        core.set_permission(Permission("ann", "/", ".*", ".*", ".*"))

    broker.call(add)
    queue = "/orders?type=queue&clientId=me&readTimeout=20000"
    found: list[Reply] = []
    first = threading.Thread(target=lambda: found.append(ask("GET", queue)))
    first.start()
    await_readers(broker)
    second = ask("GET", queue)
    assert (second.status, second.body) == (500, b"Concurrent access to consumer is not supported\n")
    ann = Asking(broker, "ann")
    assert ann("POST", "?clientId=me&action=unsubscribe").status == 200
    assert ann("GET", "/orders?type=queue&clientId=me&readTimeout=0").status == 204
    assert consumers(broker, "orders") == 2, "a reader of her own"
    ask("POST", "/orders?type=queue", b"body=x")
    ask("POST", "/orders?type=queue", b"body=y")
    first.join(20)
    bodies = {found[0].body, ann("GET", "/orders?type=queue&clientId=me").body}
    assert bodies == {b"x", b"y"}


@pytest.mark.row("A80")
def test_who_has_gone_leaves_the_message_to_the_next_request(broker: Broker, ask: Asking) -> None:
    connection = HTTPConnection(HOST, ask.port, timeout=60)
    known = {"Authorization": ask.authorization}
    connection.request("GET", "/api/message/q?type=queue&clientId=me", None, known)
    await_readers(broker)
    connection.sock.close()
    ask("POST", "/q?type=queue", b"body=still%20there")

    def answered() -> bool:
        # Until the broker has seen that nobody waits any more.
        reply = ask("GET", "/q?type=queue&clientId=me&readTimeout=5000")
        assert reply.status in (200, 500)
        return reply.body == b"still there"

    await_true(answered, 20, "the message")


@pytest.mark.row("A80")
def test_a_queue_that_was_deleted_is_read_anew(broker: Broker, ask: Asking) -> None:
    queue = "/q?type=queue&clientId=me"
    assert ask("GET", f"{queue}&readTimeout=0").status == 204
    broker.call(lambda server: server.core.vhosts["/"].remove_queue(server.core.vhosts["/"].queues["q"]))
    ask("POST", "/q?type=queue", b"body=new")
    assert ask("GET", f"{queue}&readTimeout=20000").body == b"new"


@pytest.mark.row("A80")
def test_a_reader_that_nobody_asks_is_closed(
    broker: Broker, ask: Asking, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readers, "IDLE_S", 0.05)
    assert ask("GET", "/q?type=queue&clientId=me&readTimeout=0").status == 204
    await_true(lambda: consumers(broker, "q") == 0, 20, "it is closed")


@pytest.mark.row("A80")
def test_readers_have_a_bound(broker: Broker, ask: Asking, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readers, "READERS_MAX", 1)
    assert ask("GET", "/q?type=queue&clientId=a&readTimeout=0").status == 204
    assert ask("GET", "/q?type=queue&clientId=b&readTimeout=0").status == 503
    assert ask("GET", "/q?type=queue&readTimeout=0").status == 204, "it keeps nothing"
    assert ask("GET", f"/q?type=queue&clientId={'x' * 256}&readTimeout=0").status == 400


@pytest.mark.row("A80")
def test_the_body_is_what_the_client_says_and_runs_in_no_browser(ask: Asking) -> None:
    ask("POST", "/q?type=queue", b'{"a": 1}', "application/json")
    ask("POST", "/q?type=queue&Location=x&setCookie=y&a-b=z&JMSType=t", b"body=%3Ca/%3E")
    first = ask("GET", "/q?type=queue&json=true")
    assert (first.headers["content-type"], first.body) == ("application/json", b'{"a": 1}')
    second = ask("GET", "/q?type=queue&xml=true")
    assert second.headers["content-type"] == "application/xml"
    assert "sandbox" in second.headers["content-security-policy"]
    assert second.headers["setcookie"] == "y"
    assert {"location", "a-b"}.isdisjoint(second.headers)


@pytest.mark.row("A80")
def test_a_message_for_later(broker: Broker, ask: Asking) -> None:
    assert ask("POST", "/q?type=queue&AMQ_SCHEDULED_DELAY=600000", b"body=x").status == 200
    assert ask("GET", "/q?type=queue&readTimeout=0").status == 204
    waiting = broker.call(
        lambda server: server.core.vhosts["/"].exchanges["pillarbox.scheduled.queue"].schedule.waiting_count
    )
    assert waiting == 1
    assert ask("POST", f"/q?type=queue&JMSCorrelationID={'x' * 300}", b"body=x").status == 400


@pytest.mark.row("A80")
def test_a_stop_ends_readers_that_are_kept(broker: Broker, ask: Asking) -> None:
    assert ask("GET", "/q?type=queue&clientId=me&readTimeout=0").status == 204
    began = time.monotonic()
    broker.stop()
    assert time.monotonic() - began < 15
