"""Metrics: the format by Prometheus' own parser, the names by RabbitMQ's dashboard, the values by events."""

from __future__ import annotations

import re
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pika
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families as parse

from pillarbox import Broker
from pillarbox.broker.administration import remove_vhost
from pillarbox.broker.auth import Permission
from pillarbox.ops.prometheus.exposition import Family, exposition

OVERVIEW = (Path(__file__).parent / "overview_dashboard.txt").read_text().split()
"""Every metric that RabbitMQ's Overview dashboard reads, from row R126."""

PER_OBJECT = "/metrics/per-object"

Metrics = dict[str, list[tuple[dict[str, str], float]]]


@pytest.fixture
def broker() -> Iterator[Broker]:
    with Broker(prometheus_port=0) as broker:
        yield broker


def fetch(broker: Broker, path: str = "/metrics", method: str = "GET") -> tuple[int, dict[str, str], str]:
    host, port = broker.server.operator_addresses["prometheus"][0]
    connection = HTTPConnection(host, port, timeout=30)
    connection.request(method, path)
    response = connection.getresponse()
    body = response.read().decode()
    connection.close()
    return response.status, {name.lower(): value for name, value in response.getheaders()}, body


def metrics(broker: Broker, path: str = "/metrics") -> Metrics:
    """Name → samples, as Prometheus understands the document."""
    status, headers, body = fetch(broker, path)
    assert (status, headers["content-type"]) == (200, "text/plain; version=0.0.4; charset=utf-8")
    found: Metrics = {}
    for family in parse(body):
        for sample in family.samples:
            found.setdefault(sample.name, []).append((dict(sample.labels), sample.value))
    return found


def one(found: Metrics, name: str, **labels: str) -> float:
    """The value of the sample that has just these labels."""
    (value,) = [value for has, value in found[name] if has == labels]
    return value


def value(found: Metrics, name: str) -> float:
    ((_, only),) = found[name]
    return only


@pytest.mark.row("R126")
def test_overview_dashboard_finds_all_that_it_reads(broker: Broker) -> None:
    assert set(OVERVIEW) <= set(metrics(broker))


@pytest.mark.row("R126")
def test_sizes_of_published_messages_are_in_buckets(broker: Broker) -> None:
    """Routed or not, in a transaction or not: RabbitMQ counts what it has received."""
    with pika.BlockingConnection(pika.URLParameters(broker.amqp_url)) as connection:
        channel, transactional = connection.channel(), connection.channel()
        channel.confirm_delivery()
        channel.queue_declare("q")
        for size in (0, 100, 101, 9_000, 2_000_000):
            channel.basic_publish("", "q", bytes(size))
        channel.basic_publish("", "none", bytes(1_000))
        transactional.tx_select()
        transactional.basic_publish("", "q", bytes(10_000))
        transactional.tx_commit()
        found = metrics(broker)
        buckets = {labels["le"]: count for labels, count in found["rabbitmq_message_size_bytes_bucket"]}
        assert buckets == {
            "100": 2,
            "1000": 4,
            "10000": 6,
            "100000": 6,
            "1000000": 6,
            "10000000": 7,
            "50000000": 7,
            "100000000": 7,
            "+Inf": 7,
        }
        assert value(found, "rabbitmq_message_size_bytes_count") == 7
        assert value(found, "rabbitmq_message_size_bytes_sum") == 0 + 100 + 101 + 9_000 + 2_000_000 + 11_000
        assert found["rabbitmq_message_size_bytes_sum"][0][0] == {"protocol": "amqp091"}


@pytest.mark.row("R125", "R126")
def test_totals_say_what_happened(broker: Broker) -> None:
    connection = pika.BlockingConnection(pika.URLParameters(broker.amqp_url))
    channel = connection.channel()
    channel.confirm_delivery()
    channel.queue_declare("q")
    for _ in range(5):
        channel.basic_publish("", "q", b"x")
    with pytest.raises(pika.exceptions.UnroutableError):
        channel.basic_publish("", "none", b"x", mandatory=True)
    channel.basic_publish("", "none", b"x")
    channel.basic_get("q", auto_ack=True)
    tag = channel.basic_get("q")[0].delivery_tag
    channel.basic_get("q")
    channel.basic_ack(tag)
    channel.queue_declare("q", passive=True)
    found = metrics(broker)
    wanted = {
        "rabbitmq_connections": 1,
        "rabbitmq_channels": 1,
        "rabbitmq_queues": 1,
        "rabbitmq_queue_messages_ready": 2,
        "rabbitmq_queue_messages_unacked": 1,
        "rabbitmq_queue_messages": 3,
        "rabbitmq_connections_opened_total": 1,
        "rabbitmq_queues_created_total": 1,
        "rabbitmq_global_messages_received_total": 7,
        "rabbitmq_global_messages_confirmed_total": 7,
        "rabbitmq_global_messages_routed_total": 5,
        "rabbitmq_global_messages_unroutable_dropped_total": 1,
        "rabbitmq_global_messages_unroutable_returned_total": 1,
        "rabbitmq_global_messages_delivered_total": 3,
        "rabbitmq_global_messages_delivered_get_auto_ack_total": 1,
        "rabbitmq_global_messages_delivered_get_manual_ack_total": 2,
        "rabbitmq_global_messages_acknowledged_total": 1,
        "rabbitmq_global_publishers": 1,
    }
    assert {name: value(found, name) for name in wanted} == wanted
    connection.close()
    after = metrics(broker)
    assert value(after, "rabbitmq_connections_closed_total") == 1
    kept = {name: count for name, count in wanted.items() if name.endswith("_total")}
    assert {name: value(after, name) for name in kept} == kept, "a counter never goes back"


@pytest.mark.row("R127")
def test_dead_letters_by_reason(broker: Broker) -> None:
    connection = pika.BlockingConnection(pika.URLParameters(broker.amqp_url))
    channel = connection.channel()
    channel.queue_declare("q", arguments={"x-max-length": 1, "x-dead-letter-exchange": "amq.fanout"})
    for _ in range(3):
        channel.basic_publish("", "q", b"x")
    channel.queue_declare("q", passive=True)
    ((labels, count),) = metrics(broker)["rabbitmq_global_messages_dead_lettered_maxlen_total"]
    assert (labels, count) == (
        {"queue_type": "rabbit_classic_queue", "dead_letter_strategy": "at_most_once"},
        2,
    )
    connection.close()


@pytest.mark.row("R125", "R127")
def test_each_queue_by_itself_with_its_name_whatever_it_is(broker: Broker) -> None:
    name = 'a "quoted" \\ name\nin two lines'.replace("\n", " ")
    connection = pika.BlockingConnection(pika.URLParameters(broker.amqp_url))
    channel = connection.channel()
    for queue in ("q", name):
        channel.queue_declare(queue)
    channel.basic_publish("", name, b"xyz")
    channel.queue_declare(name, passive=True)
    found = metrics(broker, "/metrics/per-object")
    ready = {labels["queue"]: count for labels, count in found["rabbitmq_queue_messages_ready"]}
    assert ready == {"q": 0, name: 1}
    sizes = {labels["queue"]: count for labels, count in found["rabbitmq_queue_messages_ready_bytes"]}
    assert sizes[name] == 3
    assert found["rabbitmq_channel_messages_published_total"][0][1] == 1
    connection.close()


@pytest.mark.row("R125")
def test_chosen_families_of_chosen_virtual_hosts(broker: Broker) -> None:
    broker.call(lambda server: server.core.add_vhost("other"))
    connection = pika.BlockingConnection(pika.URLParameters(broker.amqp_url))
    connection.channel().queue_declare("q")
    found = metrics(broker, "/metrics/detailed?family=queue_coarse_metrics&family=vhost_status&vhost=/")
    assert {name for name in found if "detailed" in name} == {
        "rabbitmq_detailed_queue_messages_ready",
        "rabbitmq_detailed_queue_messages_unacked",
        "rabbitmq_detailed_queue_messages",
        "rabbitmq_detailed_cluster_vhost_status",
    }
    assert [labels["vhost"] for labels, _ in found["rabbitmq_detailed_cluster_vhost_status"]] == ["/"]
    assert "rabbitmq_detailed_queue_messages" not in metrics(broker, "/metrics/detailed?family=none")
    connection.close()


def test_channel_keeps_its_name_when_another_one_closes(broker: Broker) -> None:
    """Or its counters would be those of another one from then on."""
    name = "rabbitmq_channel_messages_published_total"
    with pika.BlockingConnection(pika.URLParameters(broker.amqp_url)) as connection:
        channels = [connection.channel() for _ in range(3)]
        channels[0].queue_declare("q")
        for channel, count in zip(channels, (1, 2, 3), strict=True):
            channel.confirm_delivery()
            for _ in range(count):
                channel.basic_publish("", "q", b"x")
        channels[0].close()
        found = {labels["channel"][-4:]: value for labels, value in metrics(broker, PER_OBJECT)[name]}
        assert found == {" (2)": 2, " (3)": 3}


def test_connections_of_the_brokers_own_are_told_apart(broker: Broker) -> None:
    """Prometheus takes no two samples with the same labels."""

    def connect(server: Any) -> None:
        guest = server.core.users.by_name["guest"]
        for _ in range(2):
            client = server._client_ports.connect_locally(guest, lambda: None)
            server.core.open_session(guest, "/", client).introduce(client)

    broker.call(connect)
    found = metrics(broker, PER_OBJECT)["rabbitmq_connection_channels"]
    assert len(found) == 2
    assert len({labels["connection"] for labels, _ in found}) == 2


def test_counters_do_not_fall_when_a_virtual_host_goes(broker: Broker) -> None:
    """Prometheus takes a counter that is lower than before for one that has begun anew."""

    def add(server: Any) -> None:
        server.core.add_vhost("gone")
        server.core.set_permission(Permission("guest", "gone", ".*", ".*", ".*"))

    broker.call(add)
    name = "rabbitmq_global_messages_received_total"
    address = pika.ConnectionParameters("127.0.0.1", broker.amqp_port, "gone")
    with pika.BlockingConnection(address) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        channel.basic_publish("", "nowhere", b"x")
    assert value(metrics(broker), name) == 1
    broker.call(lambda server: remove_vhost(server.core, "gone"))
    assert value(metrics(broker), name) == 1


@pytest.mark.row("R125")
def test_memory_breakdown_and_what_is_not_there(broker: Broker) -> None:
    parts = {
        labels["part"]
        for labels, _ in metrics(broker, "/metrics/memory-breakdown")["rabbitmq_memory_breakdown_bytes"]
    }
    assert parts == {"messages", "other"}
    assert fetch(broker, "/none")[0] == 404
    assert fetch(broker, "/metrics", "POST")[0] == 405


@given(
    st.lists(
        st.tuples(
            st.dictionaries(st.from_regex(r"\A[a-z]{1,9}\Z"), st.text(max_size=20), max_size=3),
            st.floats(allow_nan=False, allow_infinity=False) | st.integers(0, 1 << 53),
        ),
        max_size=250,
        unique_by=lambda sample: tuple(sorted(sample[0].items())),
    )
)
def test_whatever_is_in_labels_is_read_back(samples: list[tuple[dict[str, str], Any]]) -> None:
    # Prometheus' parser splits lines at every line end that Python knows; the format knows one.
    kept = [
        (labels, one)
        for labels, one in samples
        if not re.search(r"[\r\x0b\x0c\x1c-\x1e\x85\u2028\u2029]", "".join(labels.values()))
    ]
    text = b"".join(exposition([Family("a_b", "gauge", "help\nin lines", kept)])).decode()
    (family,) = parse(text)
    assert [(dict(one.labels), one.value) for one in family.samples] == [
        (labels, float(one)) for labels, one in kept
    ]
