"""Jolokia on Pillarbox against what it answers on ActiveMQ (A81)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.peers import await_true
from pillarbox import Broker
from pillarbox.broker.auth import User, hash_password
from pillarbox.ops.activemq.jolokia import rendered
from pillarbox.ops.activemq.names import parse
from pillarbox.ops.management.explanation import Case, Finding, Stalls, explain
from tests.activemq_http.steps import (
    BROKER,
    HOST,
    MAP,
    ORDERS,
    STEPS,
    TEXT,
    ask,
    fill,
    play,
    queue,
    subscribe,
    topic,
)
from tests.messaging.scene import Stomp, deaths

RECORDING = json.loads((Path(__file__).resolve().parent / "recording.json").read_text())


@pytest.fixture
def broker() -> Iterator[Broker]:
    with Broker(activemq_http_port=0, stomp_port=0) as running:
        fill(running.stomp_address[1])
        yield running


@pytest.fixture
def subscribed(broker: Broker) -> Iterator[Broker]:
    staying = subscribe(broker.stomp_address[1])
    yield broker
    staying.transport.disconnect_socket()


@pytest.fixture
def port(broker: Broker) -> int:
    found: int = broker.call(lambda server: server.operator_addresses["activemq-http"][0][1])
    return found


def value(port: int, step: Any) -> Any:
    status, body = ask(port, step)
    document = json.loads(body)
    assert (status, document["status"]) == (200, 200), document
    return document["value"]


@pytest.mark.row("A81")
def test_answers_are_those_of_activemq(subscribed: Broker, port: int) -> None:
    """Reads, searches, operations, several at once, and everything that may be wrong with them; queues,
    topics, subscriptions that are there and offline, connections."""
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


# --- pausing, dead letters, single messages ----------------------------------------------------------------


@pytest.mark.row("A81")
def test_a_paused_queue_hands_nothing_out(broker: Broker, port: int) -> None:
    """Consumers that are there and that come wait; the page says why; a browser still sees the messages."""
    value(port, f"exec/{ORDERS}/pause()")
    reader = Stomp(broker)
    reader.subscribe("/queue/orders")
    assert value(port, f"read/{ORDERS}/ConsumerCount,InFlightCount") == {
        "ConsumerCount": 1,
        "InFlightCount": 0,
    }
    assert len(value(port, f"exec/{ORDERS}/browse()")) == 3
    found = broker.call(lambda server: [each.code for each in explanation_of(server, "orders")])
    assert "paused" in found
    assert reader.listener.messages == []
    value(port, f"exec/{ORDERS}/resume()")
    assert [frame.body for frame in reader.got(3)] == ["m0", "m1", "m2"]


def explanation_of(server: Any, name: str) -> list[Finding]:
    host = server.core.vhosts["/"]
    return explain(Case(host.queues[name], host, server.core, 0, Stalls()))


@pytest.mark.row("A81")
def test_what_was_out_comes_back_to_a_paused_queue_and_stays(broker: Broker, port: int) -> None:
    """A receiver that goes gives its messages back, which ends no pause."""
    first = Stomp(broker)
    first.subscribe("/queue/orders", ack="client")
    first.got(3)
    value(port, f"exec/{ORDERS}/pause()")
    second = Stomp(broker)
    second.subscribe("/queue/orders")
    first.close()
    await_true(lambda: value(port, f"read/{ORDERS}/InFlightCount") == 0, 20, "they are back")
    assert (second.listener.messages, value(port, f"read/{ORDERS}/QueueSize")) == ([], 3)
    value(port, f"exec/{ORDERS}/resume()")
    assert len(second.got(3)) == 3


@pytest.mark.row("A81")
def test_dead_letters_go_back_to_where_they_died() -> None:
    with Broker(activemq_http_port=0, stomp_port=0, stomp_dialect="activemq") as broker:
        port: int = broker.call(lambda server: server.operator_addresses["activemq-http"][0][1])
        client = Stomp(broker)
        for number in range(3):
            client.send("/queue/work", f"m{number}", persistent="true")
        client.subscribe("/queue/work", ack="client-individual")
        for frame in client.got(3):
            client.connection.nack(frame.headers["ack"])
        dead = queue("ActiveMQ.DLQ")
        await_true(lambda: value(port, f"read/{dead}/QueueSize") == 3, 20, "they have died")
        client.close()
        client = Stomp(broker)
        client.send("/queue/ActiveMQ.DLQ", "not from here", persistent="true")
        assert value(port, f"read/{dead}/DLQ") is True
        assert value(port, f"exec/{dead}/retryMessages") == 3
        assert value(port, f"read/{dead}/QueueSize") == 1, "what says not where it died stays"
        reader = Stomp(broker)
        reader.subscribe("/queue/work")
        assert [frame.body for frame in reader.got(3)] == ["m0", "m1", "m2"]


@pytest.mark.row("A81")
def test_single_messages_by_their_ids(port: int) -> None:
    send = {"type": "exec", "mbean": ORDERS, "operation": f"sendTextMessage({TEXT})"}
    one, two = (value(port, send | {"arguments": [text]}) for text in ("one", "two"))
    assert value(port, f"exec/{ORDERS}/getMessage/{one}")["Text"] == "one"
    assert value(port, f"exec/{ORDERS}/copyMessageTo/{one}/other") is True
    assert value(port, f"exec/{ORDERS}/moveMessageTo/{two}/other") is True
    assert value(port, f"exec/{ORDERS}/removeMessage/{one}") is True
    assert value(port, f"exec/{ORDERS}/removeMessage/{one}") is False
    assert [each["Text"] for each in value(port, f"exec/{ORDERS}/browse()")] == ["m0", "m1", "m2"]
    assert [each["Text"] for each in value(port, f"exec/{queue('other')}/browse()")] == ["one", "two"]


@pytest.mark.row("A81")
def test_durable_subscriptions_are_made_and_removed(broker: Broker, port: int) -> None:
    step = {"type": "exec", "mbean": BROKER, "operation": "createDurableSubscriber"}
    value(port, step | {"arguments": ["me", "mine", "news.>", ""]})
    Stomp(broker).send("/topic/news.a", "x")
    bean = f"{topic('news.>')},endpoint=Consumer,clientId=me,consumerId=Durable(me_mine)"
    assert value(port, f"read/{bean}/PendingQueueSize,Active") == {"PendingQueueSize": 1, "Active": False}
    refused = json.loads(ask(port, step | {"arguments": ["me", "mine", "news.>", "a = 1"]})[1])
    assert refused["status"] == 500
    value(port, f"exec/{BROKER}/destroyDurableSubscriber/me/mine")
    assert value(port, f"read/{BROKER}/Topics,InactiveDurableTopicSubscribers") == {
        "Topics": [],
        "InactiveDurableTopicSubscribers": [],
    }


@pytest.mark.row("A81")
def test_producers_connections_and_names_with_special_characters(broker: Broker, port: int) -> None:
    sender = Stomp(broker, "s:1,2")
    for name in ("a=b", "a*b?,c"):
        sender.send(f"/queue/{name}", "x")
    (producer,) = value(port, f"search/{BROKER},endpoint=dynamicProducer,*")
    assert "clientId=s_1_2" in producer
    assert value(port, f"read/{producer}/SentCount,ClientId") == {"SentCount": 2, "ClientId": "s:1,2"}
    found = value(port, f"search/{BROKER},destinationType=Queue,*")
    names = {each for each in found if "destinationName=a" in each}
    assert names == {parse(queue(name)).canonical for name in ("a&amp;b", "a&ast;b&qe;_c")}
    assert [value(port, {"type": "read", "mbean": name, "attribute": "QueueSize"}) for name in names] == [
        1,
        1,
    ]
    (connection,) = value(
        port, f"search/{BROKER},connector=clientConnectors,connectionViewType=remoteAddress,*"
    )
    value(port, {"type": "exec", "mbean": connection, "operation": "stop"})
    await_true(lambda: not sender.connection.is_connected(), 20, "it is closed")


@pytest.mark.row("A81")
def test_everything_can_be_read_and_listed(subscribed: Broker, port: int) -> None:
    """What monitors do that look at all there is; several at once."""
    listed = value(port, "list/org.apache.activemq")
    found = value(port, "search/org.apache.activemq:*")
    assert set(listed) == {name.partition(":")[2] for name in found}
    for name in found:
        told = value(port, {"type": "read", "mbean": name})
        assert set(told) == set(listed[name.partition(":")[2]]["attr"]), name
    several = [{"type": "read", "mbean": name} for name in found]
    assert [each["status"] for each in json.loads(ask(port, several)[1])] == [200] * len(found)
    (dropped,) = [name for name in found if "remoteAddress" in name]
    assert json.loads(ask(port, {"type": "exec", "mbean": dropped, "operation": "purge"})[1])["status"] == 400


@pytest.mark.row("A81")
def test_what_expired_is_counted(broker: Broker, port: int) -> None:
    deaths(broker)
    assert value(port, f"read/{queue('short')}/ExpiredCount") == 1
    assert value(port, f"read/{queue('patient')}/ExpiredCount") == 0


@pytest.mark.row("A81")
def test_what_is_browsed_stays_as_it_is_and_is_meant_by_what_it_is_called(broker: Broker, port: int) -> None:
    """Messages that have no id of their own have one by their place; those that are out are seen too."""
    reader = Stomp(broker)
    reader.subscribe("/queue/orders", ack="client-individual", **{"prefetch-count": "1"})
    reader.got(1)
    seen = value(port, f"exec/{ORDERS}/browse()")
    assert [each["Text"] for each in seen] == ["m0", "m1", "m2"]
    again = value(port, f"exec/{ORDERS}/browse()")
    assert [each["JMSMessageID"] for each in again] == [each["JMSMessageID"] for each in seen]
    assert not any(each["JMSRedelivered"] for each in again[1:])
    step = {"type": "exec", "mbean": ORDERS, "operation": "removeMessage"}
    assert value(port, step | {"arguments": [seen[2]["JMSMessageID"]]}) is True
    assert [each["Text"] for each in value(port, f"exec/{ORDERS}/browse()")] == ["m0", "m1"]
    reader.connection.transport.disconnect_socket()


@pytest.mark.row("A81", "A33")
def test_queue_that_is_added_has_activemqs_place_for_the_dead() -> None:
    with Broker(activemq_http_port=0, profile="activemq:classic") as running:
        port = running.call(lambda server: server.operator_addresses["activemq-http"][0][1])
        value(port, f"exec/{BROKER}/addQueue/fresh")
        arguments = running.call(lambda server: server.core.vhosts["/"].queues["fresh"].arguments)
        assert arguments["x-dead-letter-routing-key"] == "ActiveMQ.DLQ"
        assert value(port, f"read/{queue('ActiveMQ.DLQ')}/DLQ") is True


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(document=JSON)
def test_answer_in_steps_is_the_answer(document: Any) -> None:
    assert json.loads(b"".join(rendered(document))) == document


def test_long_answers_are_written_in_steps() -> None:
    """The list of what ten thousand queues have held up the broker for five seconds."""
    many = {f"type=Queue,name=q{number}": {"attr": {"a": {}}, "op": {}} for number in range(5000)}
    names = [{"objectName": f"q{number}"} for number in range(5000)]
    for value_of in ({"org.apache.activemq": many, "org.apache.activemq.artemis": many}, {"Queues": names}):
        document = {"request": {"type": "list"}, "value": value_of, "status": 200}
        for answer in (document, [document, document]):
            parts = list(rendered(answer))
            assert json.loads(b"".join(parts)) == answer
            assert max(map(len, parts)) < 100
