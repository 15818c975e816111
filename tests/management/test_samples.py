"""Statistics over time: rates, samples for charts, idle and running. Rows R122, R123."""

from __future__ import annotations

from collections.abc import Iterator

import pika
import pytest
from pika.adapters.blocking_connection import BlockingChannel

from pillarbox import Broker, ManualClock
from pillarbox.broker.counters import QueueCounters
from pillarbox.ops.management import samples
from pillarbox.ops.management.samples import Sampler, Series, Step
from tests.management.http import Client, client

pytestmark = pytest.mark.row("R122", "R123")

INTERVAL = "5s"


@pytest.fixture(autouse=True)
def whole_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pass that is cut into slices goes on a millisecond later: a clock that stands still has none."""
    monkeypatch.setattr(samples, "SLICE_NS", 1 << 62)


@pytest.fixture
def broker() -> Iterator[Broker]:
    with Broker(management_port=0, clock=ManualClock()) as broker:
        yield broker


@pytest.fixture
def api(broker: Broker) -> Iterator[Client]:
    with client(broker) as found:
        yield found


@pytest.fixture
def channel(broker: Broker) -> Iterator[BlockingChannel]:
    connection = pika.BlockingConnection(pika.URLParameters(broker.amqp_url))
    channel = connection.channel()
    channel.queue_declare("q")
    channel.confirm_delivery()
    yield channel
    connection.close()


def publish(channel: BlockingChannel, count: int) -> None:
    for _ in range(count):
        channel.basic_publish("", "q", b"x")


def test_rate_is_what_came_in_the_last_interval(
    broker: Broker, api: Client, channel: BlockingChannel
) -> None:
    broker.advance(INTERVAL)
    publish(channel, 50)
    broker.advance(INTERVAL)
    queue = api.get("queues/%2F/q")
    assert queue["message_stats"]["publish_details"] == {"rate": 10.0}
    assert queue["messages_details"] == {"rate": 10.0}
    assert api.get("exchanges/%2F/amq.default")["message_stats"]["publish_in_details"] == {"rate": 10.0}
    overview = api.get("overview")
    assert overview["message_stats"]["publish_details"] == {"rate": 10.0}
    assert overview["queue_totals"]["messages_ready_details"] == {"rate": 10.0}


def test_node_has_rates_of_what_goes_up_and_down(broker: Broker, api: Client) -> None:
    broker.advance(INTERVAL)
    with pika.BlockingConnection(pika.URLParameters(broker.amqp_url)):
        broker.advance(INTERVAL)
        (node,) = api.get("nodes?data_rates_age=60&data_rates_incr=5")
        assert node["sockets_used_details"]["rate"] == 0.2
        samples = [one["sample"] for one in node["sockets_used_details"]["samples"]]
        assert samples[:2] == [1, 0], "the newest first"
        for name in ("mem_used", "disk_free", "fd_used"):
            kept = node[f"{name}_details"]["samples"]
            assert all(one["sample"] > 0 for one in kept) == (node[name] > 0), name
    broker.advance(INTERVAL)
    (node,) = api.get("nodes")
    assert node["sockets_used_details"]["rate"] == -0.2


def test_rate_is_0_when_nothing_comes_any_more(broker: Broker, api: Client, channel: BlockingChannel) -> None:
    publish(channel, 50)
    broker.advance(INTERVAL)
    broker.advance(INTERVAL)
    queue = api.get("queues/%2F/q")
    assert queue["message_stats"]["publish"] == 50
    assert queue["message_stats"]["publish_details"] == {"rate": 0.0}


def test_queue_is_idle_when_nothing_has_happened_for_an_interval(
    broker: Broker, api: Client, channel: BlockingChannel
) -> None:
    """`idle_since` is there: that is how RabbitMQ's page and ours tell idle from running."""
    publish(channel, 1)
    assert "idle_since" not in api.get("queues/%2F/q")
    broker.advance(INTERVAL)
    assert api.get("queues/%2F/q")["idle_since"] == "2023-11-14T22:13:20.000+00:00"
    publish(channel, 1)
    assert "idle_since" not in api.get("queues/%2F/q")


def test_samples_are_asked_for_by_age_and_increment(
    broker: Broker, api: Client, channel: BlockingChannel
) -> None:
    for count in (10, 0, 20):
        publish(channel, count)
        broker.advance(INTERVAL)
    path = "queues/%2F/q?lengths_age=20&lengths_incr=5&msg_rates_age=10&msg_rates_incr=5"
    queue = api.get(path)
    now_ms = broker.call(lambda server: server.core.changes.now_ms)
    newest_ms = now_ms // 5000 * 5000
    assert queue["messages_details"] == {
        "rate": 4.0,
        "avg": (30 + 10 + 10 + 0 + 0) / 5,
        "avg_rate": 30 / 20,
        "samples": [
            {"sample": sample, "timestamp": newest_ms - back * 5000}
            for back, sample in enumerate((30, 10, 10, 0, 0))
        ],
    }
    publishes = queue["message_stats"]["publish_details"]["samples"]
    assert [one["sample"] for one in publishes] == [30, 10, 10]


def test_totals_do_not_fall_when_a_virtual_host_goes(broker: Broker, api: Client) -> None:
    """Counters only grow: Prometheus takes a lower one for a restart, and adds all of it to its rates."""
    api.request("PUT", "vhosts/gone", {})
    address = pika.ConnectionParameters("127.0.0.1", broker.amqp_port, "gone")
    with pika.BlockingConnection(address) as connection:
        channel = connection.channel()
        channel.queue_declare("q")
        channel.confirm_delivery()
        publish(channel, 50)
    connection = pika.BlockingConnection(address)
    channel = connection.channel()
    channel.confirm_delivery()
    publish(channel, 20)
    broker.advance(INTERVAL)
    assert api.request("DELETE", "vhosts/gone").status == 204
    for told in (False, True):
        stats = api.get("overview")["message_stats"]
        assert (stats["publish"], stats["confirm"]) == (70, 70)
        assert stats["publish_details"]["rate"] >= 0
        broker.advance(INTERVAL)
        assert api.get("overview")["message_stats"]["publish_details"]["rate"] == 0
        if not told:
            with pytest.raises(pika.exceptions.AMQPError):
                connection.process_data_events(time_limit=60)


def test_channel_that_closes_while_samples_are_taken_is_not_missed(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it has counted is in the past, which was read before, and no more where it was."""
    monkeypatch.setattr(samples, "SLICE_NS", -1)
    address = pika.URLParameters(broker.amqp_url)
    with pika.BlockingConnection(address) as first, pika.BlockingConnection(address) as second:
        first.channel().queue_declare("q")
        for steps_before in range(8):
            channel = second.channel()
            channel.confirm_delivery()
            publish(channel, 10)
            for closes in (False, True):
                broker.advance(INTERVAL)
                for step in range(30):
                    if closes and step == steps_before:
                        channel.close()
                    broker.advance("1ms")
                series = broker.call(lambda server: server.core.churn.samples)
                assert series.value("publish", series.newest_ms) == 10 * (steps_before + 1)


@pytest.mark.parametrize(
    "query",
    [
        "lengths_age=x&lengths_incr=5",
        "lengths_age=10&lengths_incr=0",
        f"lengths_age={'9' * 5000}&lengths_incr=5",
    ],
)
def test_bad_ranges_are_refused(api: Client, channel: BlockingChannel, query: str) -> None:
    reply = api.request("GET", f"queues/%2F/q?{query}")
    assert (reply.status, reply.document["error"]) == (400, "bad_request")


def test_what_is_gone_stays_counted(broker: Broker, api: Client, channel: BlockingChannel) -> None:
    publish(channel, 3)
    channel.queue_delete("q")
    channel.connection.channel().close()
    channel.close()
    overview = api.get("overview")
    assert overview["message_stats"]["publish"] == overview["message_stats"]["confirm"] == 3
    assert overview["queue_totals"]["messages"] == 0
    churn = overview["churn_rates"]
    assert (churn["queue_created"], churn["queue_deleted"]) == (1, 1)
    assert (churn["channel_created"], churn["channel_closed"]) == (2, 2)


# --- how samples are kept ----------------------------------------------------------------------------------


def test_series_holds_a_value_until_the_next_row() -> None:
    series = Series(("a", "b"))
    series.append(1000, (1, 2))
    series.append(9000, (5, 6))
    times = (0, 1000, 5000, 9000, 20_000)
    assert [series.value("b", when) for when in times] == [0, 2, 2, 6, 6]
    assert series.values("b", times) == [0, 2, 2, 6, 6]


def test_series_forgets_the_oldest_and_does_not_take_that_for_0() -> None:
    series = Series(("a",), (Step(0, 2),))
    for number in range(1, 6):
        series.append(number * 1000, (number,))
    assert [series.value("a", when) for when in (0, 4000, 5000)] == [4, 4, 5]


def test_series_goes_far_back_in_large_steps() -> None:
    series = Series(("a",), (Step(0, 2), Step(60_000, 10)))
    for second in range(0, 600, 5):
        series.append(second * 1000, (second,))
    assert series.value("a", 121_000) == 120
    assert series.value("a", 594_000) == 590
    assert series.values("a", (594_000, 121_000, 0)) == [590, 120, 0]


def test_idle_queue_has_no_samples_and_busy_ones_share_a_bound(
    broker: Broker, channel: BlockingChannel, monkeypatch: pytest.MonkeyPatch
) -> None:
    row_bytes = 8 * (1 + len(samples.QUEUE))
    monkeypatch.setattr(samples, "SAMPLES_BYTES_MAX", samples.KEPT_MIN * row_bytes)
    channel.queue_declare("idle")
    for _ in range(10):
        publish(channel, 1)
        broker.advance(INTERVAL)

    def look(name: str) -> QueueCounters:
        return broker.call(lambda server: server.core.vhosts["/"].queues[name].counters)

    assert look("idle").samples is None
    assert repr(look("q").samples) == f"<Series of {len(samples.QUEUE)} rows=[{samples.KEPT_MIN}]>"


def test_sampler_works_in_slices(broker: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    """With many queues a pass takes several turns, between which others have theirs."""

    def declare(broker: Broker) -> None:
        for number in range(3 * samples.STEP_ITEMS):
            broker.server.core.vhosts["/"].declare_queue(None, f"q{number}")

    broker.call(lambda server: declare(broker))
    sampler = broker.call(lambda server: server.sampler)
    assert isinstance(sampler, Sampler)
    broker.advance(INTERVAL)
    monkeypatch.setattr(samples, "SLICE_NS", 0)
    before_ms, turns = sampler.last_ms, 0
    broker.advance(INTERVAL)
    while sampler.last_ms == before_ms:
        broker.advance(1)
        turns += 1
    assert turns >= 3
