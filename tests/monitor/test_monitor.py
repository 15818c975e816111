"""`pillarbox monitor` as a process and on a screen, against Pillarbox and against a real RabbitMQ."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pika
import pytest

from bench.peers import RabbitMQ
from pillarbox import Broker
from pillarbox.ops.api_client import ApiClient, Unreachable
from pillarbox.ops.monitor.queues import QUEUES, Row, Totals
from pillarbox.ops.monitor.screen import Monitor
from pillarbox.ops.monitor.source import Shot, take
from pillarbox.ops.monitor.table import Subject
from tests.monitor.tools import monitor, on_screen

pytestmark = pytest.mark.row("R122")
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


def test_account_comes_from_where_all_commands_have_it(tmp_path: Path) -> None:
    """Nothing has to be said inside a broker's container, and a password stands in no list of processes."""
    with Broker(management_port=0, default_user="ops", default_pass="secret") as broker:
        port = broker.management_url.rpartition(":")[2]
        image = {"RABBITMQ_DEFAULT_USER": "ops", "RABBITMQ_DEFAULT_PASS": "secret"}
        done = monitor("--once", PILLARBOX_MANAGEMENT_PORT=port, **image)
        assert done.returncode == 0, done.stderr
        file = tmp_path / "password"
        file.write_text("secret\n")
        done = monitor(
            "--url", broker.management_url, "--user", "ops", "--password-file", str(file), "--once"
        )
        assert done.returncode == 0, done.stderr


def test_name_that_a_terminal_would_obey_is_shown_as_escapes() -> None:
    with Broker(management_port=0) as broker:
        with pika.BlockingConnection(pika.URLParameters(broker.amqp_url)) as connection:
            connection.channel().queue_declare("a\x1b]0;title\x07b")
        done = monitor("--url", broker.management_url, "--once")
    assert "\x1b" not in done.stdout
    assert "a\\x1b]0;title\\x07b" in done.stdout


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


def test_screen_begins_with_the_filter_of_the_command_line() -> None:
    async def story(app: Monitor, pilot: Any) -> None:
        assert names(app) == ["apples"]
        await pilot.press("escape")
        await pilot.pause()
        assert len(names(app)) == 3

    on_screen(lambda _: Shot(QUEUES, TOTALS, ROWS), story, contains="app")


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
