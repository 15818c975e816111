"""`pillarbox monitor` as a process and on a screen, against Pillarbox and against a real RabbitMQ."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pika
import pytest
from confluent_kafka import Producer

from bench.peers import RabbitMQ
from pillarbox import Broker
from pillarbox.ops.api_client import ApiClient, Unreachable
from pillarbox.ops.monitor.queues import QUEUES, Row, Totals
from pillarbox.ops.monitor.screen import Monitor
from pillarbox.ops.monitor.source import Shot, take
from pillarbox.ops.monitor.table import Subject
from tests.messaging.scene import scene

pytestmark = pytest.mark.row("R122")
WAIT_S = 60
Watched = tuple[str, str]
"""(URL of the management API, URL for AMQP)"""


@contextmanager
def _pillarbox() -> Iterator[Watched]:
    with Broker(management_port=0) as broker:
        yield broker.management_url, broker.amqp_url


@contextmanager
def _rabbitmq() -> Iterator[Watched]:
    if reason := RabbitMQ.missing():
        pytest.skip(reason)
    with RabbitMQ(plugins=["rabbitmq_management"]) as peer:
        yield f"http://127.0.0.1:{peer.management_port}", f"amqp://guest:guest@127.0.0.1:{peer.amqp_port}/%2F"


@pytest.fixture(params=[_pillarbox, _rabbitmq], ids=["pillarbox", "rabbitmq"])
def watched(request: pytest.FixtureRequest) -> Iterator[Watched]:
    with request.param() as found:
        yield found


def monitor(*arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pillarbox", "monitor", *arguments],
        capture_output=True,
        text=True,
        timeout=WAIT_S,
        env={**os.environ, **env},
        stdin=subprocess.DEVNULL,
    )


def test_same_table_of_either_broker(watched: Watched) -> None:
    """One program for both: it knows the management API alone."""
    url, amqp = watched
    connection = pika.BlockingConnection(pika.URLParameters(amqp))
    channel = connection.channel()
    channel.confirm_delivery()
    for queue, count in (("orders", 3), ("emails", 1)):
        channel.queue_declare(queue)
        for _ in range(count):
            channel.basic_publish("", queue, b"x")
    channel.basic_get("orders")

    def counted() -> Any:
        found = json.loads(monitor("--url", url, "--json", "--once", "--sort", "total").stdout)
        return found if found["totals"]["ready"] + found["totals"]["unacknowledged"] == 4 else None

    # RabbitMQ counts every five seconds; asking takes a moment by itself.
    found = next(filter(None, (counted() for _ in range(150))))
    assert [(queue["name"], queue["total"]) for queue in found["queues"]] == [("orders", 3), ("emails", 1)]
    assert (found["queues"][0]["ready"], found["queues"][0]["unacknowledged"]) == (2, 1)
    assert found["totals"]["queues"] == 2
    assert found["totals"]["ready"] + found["totals"]["unacknowledged"] == 4
    shown = monitor("--url", url, "--once", "--filter", "ord").stdout
    assert re.search(r"^ */ +orders +\w+ +2 +1 +3 +", shown, re.MULTILINE), shown
    assert "emails" not in shown
    assert "2 queues" in shown.splitlines()[0], "totals are of everything"
    refused = monitor("--url", url, "--once", "--password", "wrong")
    assert refused.returncode == 1
    assert re.fullmatch(r"pillarbox: .*\(401\)\n", refused.stderr), refused.stderr
    missing = monitor("--url", url, "--once", "--vhost", "none")
    assert (missing.returncode, "404" in missing.stderr) == (1, True)
    connection.close()


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (("--url", "http://127.0.0.1:1", "--once"), 69, "cannot be reached"),
        (("--url", "ftp://x", "--once"), 2, "is no http:// or https:// URL"),
        (("--interval", "soon"), 2, "--interval must be"),
        (("--sort", "nothing"), 2, "nothing"),
        (("--nonsense",), 2, "--nonsense"),
    ],
)
def test_what_is_wrong_is_one_clear_line(arguments: tuple[str, ...], status: int, words: str) -> None:
    done = monitor(*arguments)
    assert (done.returncode, done.stdout) == (status, "")
    assert words in done.stderr
    assert done.stderr.count("\n") == 1, done.stderr


def test_password_may_come_from_the_environment() -> None:
    with Broker(management_port=0, default_user="ops", default_pass="secret") as broker:
        done = monitor(
            "--url", broker.management_url, "--once", PILLARBOX_USER="ops", PILLARBOX_PASSWORD="secret"
        )
    assert done.returncode == 0, done.stderr


@pytest.fixture
def kafka() -> Iterator[Broker]:
    """A topic with ten records in one of two partitions; `billing` has read four, `audit` nothing."""
    with Broker(management_port=0, kafka_port=0) as broker, ApiClient(broker.management_url) as api:
        api.call("PUT", "/kafka/topics/orders", {"partitions": 2})
        producer = Producer({"bootstrap.servers": broker.kafka_bootstrap})
        for _ in range(10):
            producer.produce("orders", b"x" * 100, partition=0)
        producer.flush(20)
        for group, offset in (("billing", 4), ("audit", 0)):
            body = {"topic": "orders", "to": "offset", "offset": offset}
            api.call("PUT", f"/kafka/groups/{group}/offsets", body)
        yield broker


@pytest.mark.row("K57", "K76")
def test_topics_and_groups_with_their_lag(kafka: Broker) -> None:
    url = kafka.management_url
    topics = monitor("--url", url, "--topics", "--once").stdout
    assert "Kafka 4.2" in topics.splitlines()[0]
    assert "2 groups" in topics.splitlines()[0]
    assert re.search(r"^ *orders +2 +10 ", topics, re.MULTILINE), topics
    groups = json.loads(monitor("--url", url, "--groups", "--sort", "lag", "--json", "--once").stdout)
    assert [(one["name"], one["state"], one["lag"]) for one in groups["groups"]] == [
        ("audit", "Empty", 10),
        ("billing", "Empty", 6),
    ]
    assert groups["totals"]["topics"] == 1
    refused = monitor("--url", url, "--groups", "--sort", "ready", "--once")
    assert (refused.returncode, "groups are sorted by name, type" in refused.stderr) == (2, True)


@pytest.mark.row("K57", "K76")
def test_where_kafka_is_off_that_is_said() -> None:
    with Broker(management_port=0) as broker:
        refused = monitor("--url", broker.management_url, "--topics", "--once")
    assert refused.returncode == 1
    assert "Kafka's protocol is off here" in refused.stderr


@pytest.mark.row("K57", "K76")
def test_keys_go_over_to_topics_and_groups_and_back(kafka: Broker) -> None:
    with ApiClient(kafka.management_url) as api:

        async def story(app: Monitor, pilot: Any) -> None:
            for key, first, words in (
                ("3", "audit", "groups"),
                ("2", "orders", "topics"),
                ("1", "/", "queues"),
            ):
                await pilot.press(key)
                await app.workers.wait_for_complete()
                await pilot.pause()
                table: Any = app.query_one("#rows")
                assert str(table.get_row_at(0)[0]) == first
                assert str(app.query_one("#status").render()).startswith(words)

        on_screen(lambda subject: take(api, subject), story)


# --- the screen --------------------------------------------------------------------------------------------

TOTALS = Totals(3, 6, 0, 1.0, 2.0, 3.0, 4, "Pillarbox 1")
ROWS = [
    Row("/", "apples", "running", 1, 0, 1, 0.0, 0.0, 0.0),
    Row("/", "bananas", "idle", 3, 0, 3, 0.0, 0.0, 0.0),
    Row("/", "cherries", "running", 2, 0, 2, 0.0, 0.0, 0.0),
]


def names(app: Monitor) -> list[str]:
    table: Any = app.query_one("#rows")
    return [str(table.get_row_at(at)[1]) for at in range(table.row_count)]


def on_screen(take_: Callable[[Subject], Shot], story: Callable[[Monitor, Any], Any], **options: Any) -> None:
    """Run a story on a screen of 120 by 30 characters, once the first table is there."""

    async def play() -> None:
        app = Monitor(take_, interval_s=60, **options)
        async with app.run_test(size=(120, 30)) as pilot:
            await app.workers.wait_for_complete()
            await pilot.pause()
            await story(app, pilot)

    asyncio.run(asyncio.wait_for(play(), WAIT_S))


def test_keys_sort_reverse_and_filter() -> None:
    async def story(app: Monitor, pilot: Any) -> None:
        assert names(app) == ["apples", "bananas", "cherries"]
        await pilot.press("r")
        assert names(app) == ["cherries", "bananas", "apples"]
        await pilot.press("r", "s", "s")
        assert names(app) == ["bananas", "cherries", "apples"], "by ready, the largest first"
        await pilot.press("slash", "a", "p", "p")
        await pilot.pause()
        assert names(app) == ["apples"]
        await pilot.press("escape")
        await pilot.pause()
        assert len(names(app)) == 3
        assert "Pillarbox 1" in str(app.query_one("#head").render())

    on_screen(lambda _: Shot(QUEUES, TOTALS, ROWS), story)


def test_broker_that_is_gone_is_said_and_its_last_table_stays() -> None:
    answers: list[Any] = [Shot(QUEUES, TOTALS, ROWS), Unreachable("it cannot be reached")]

    def take_(subject: Subject) -> Shot:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        assert isinstance(answer, Shot)
        return answer

    async def story(app: Monitor, pilot: Any) -> None:
        app._ask()
        await app.workers.wait_for_complete()
        await pilot.pause()
        assert "it cannot be reached; trying again" in str(app.query_one("#status").render())
        assert len(names(app)) == 3

    on_screen(take_, story)


def test_screen_of_a_real_broker_ends_on_q() -> None:
    with Broker(management_port=0) as broker, ApiClient(broker.management_url) as api:
        broker.call(
            lambda server: server.core.vhosts["/"].declare_queue(
                None, "q", durable=False, auto_delete=False, arguments={}
            )
        )

        async def story(app: Monitor, pilot: Any) -> None:
            assert names(app) == ["q"]
            await pilot.press("q")
            await pilot.pause()
            assert not app.is_running

        on_screen(lambda subject: take(api, subject), story)


# --- destinations and subscribers --------------------------------------------------------------------------


@pytest.fixture
def messaging() -> Iterator[Broker]:
    with scene(management_port=0) as broker:
        yield broker


@pytest.mark.row("A82")
def test_destinations_and_subscribers(messaging: Broker) -> None:
    url = messaging.management_url
    shown = monitor("--url", url, "--destinations", "--once").stdout
    assert "2 queues  ·  3 topics  ·  5 pending" in shown.splitlines()[0]
    assert re.search(r"^ */ +orders +queue +3 +1 +1 +3 +1 +0", shown, re.MULTILINE), shown
    assert re.search(r"^ */ +plant\.> +topic +\? ", shown, re.MULTILINE), shown
    found = json.loads(monitor("--url", url, "--subscribers", "--sort", "pending", "--json", "--once").stdout)
    assert [found["totals"][name] for name in ("subscribers", "offline", "pending")] == [4, 2, 2]
    first = found["subscribers"][0]
    assert (first["client"], first["subscription"], first["state"]) == ("billing", "all", "offline")
    assert [one["selector"] for one in found["subscribers"] if one["client"] == "audit"] == ["colour = 'red'"]
    refused = monitor("--url", url, "--subscribers", "--sort", "ready", "--once")
    assert (refused.returncode, "subscribers are sorted by vhost, client" in refused.stderr) == (2, True)


@pytest.mark.row("A82")
def test_keys_go_over_to_destinations_and_subscribers(messaging: Broker) -> None:
    with ApiClient(messaging.management_url) as api:

        async def story(app: Monitor, pilot: Any) -> None:
            for key, rows, words in (("4", 5, "destinations"), ("5", 4, "subscribers")):
                await pilot.press(key)
                await app.workers.wait_for_complete()
                await pilot.pause()
                table: Any = app.query_one("#rows")
                assert table.row_count == rows
                assert str(app.query_one("#status").render()).startswith(words)

        on_screen(lambda subject: take(api, subject), story)
