"""Scheduled messages managed by messages to `ActiveMQ.Scheduler.Management` (A35)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pillarbox import Broker, ManualClock
from pillarbox.app.server import Server
from pillarbox.broker.auth import Permission
from tests.protocols.stomp.talking import Talking

MANAGEMENT = "/topic/ActiveMQ.Scheduler.Management"
MINUTE_MS = 60_000


@pytest.fixture
def timed() -> Iterator[Broker]:
    with Broker(stomp_port=0, stomp_dialect="activemq", clock=ManualClock()) as broker:
        yield broker


@pytest.fixture
def client(timed: Broker, connected: Callable[..., Talking]) -> Talking:
    client = connected(to=timed)
    client.done("SUBSCRIBE", {"id": "replies", "destination": "/temp-queue/replies"})
    return client


def schedule(client: Talking, destination: str, minutes: int, body: str = "", **more: str) -> None:
    said = {"AMQ_SCHEDULED_DELAY": str(minutes * MINUTE_MS), "persistent": "true"} | more
    client.done("SEND", {"destination": destination} | said, body or str(minutes))


def order(client: Talking, action: str, **more: str) -> None:
    client.done("SEND", {"destination": MANAGEMENT, "AMQ_SCHEDULER_ACTION": action} | more)


def browse(client: Talking, **more: str) -> list[str]:
    """Bodies of what waits: what comes before a message that is sent behind the order."""
    reply = {"reply-to": "/temp-queue/replies"}
    client.say("SEND", {"destination": MANAGEMENT, "AMQ_SCHEDULER_ACTION": "BROWSE"} | reply | more)
    client.send("/temp-queue/replies", "end")
    found = []
    while (got := client.message()).body != b"end":
        found.append(got.body.decode())
    return found


@pytest.mark.row("A35")
def test_browser_sees_what_waits_by_due_time(client: Talking, name: str) -> None:
    for minutes in (3, 1, 2):
        schedule(client, f"/{'topic' if minutes == 2 else 'queue'}/{name}", minutes)
    assert browse(client) == ["1", "2", "3"]
    assert browse(client) == ["1", "2", "3"]


@pytest.mark.row("A35")
def test_copy_tells_of_its_job_and_nothing_of_the_broker(client: Talking, name: str) -> None:
    repeat = {"AMQ_SCHEDULED_PERIOD": "2000", "AMQ_SCHEDULED_REPEAT": "4", "mine": "yes"}
    schedule(client, f"/queue/{name}", 1, **repeat)
    said = {"destination": MANAGEMENT, "AMQ_SCHEDULER_ACTION": "BROWSE", "reply-to": "/temp-queue/replies"}
    client.say("SEND", said)
    got = client.message().headers
    assert (got["type"], got["mine"], got["original-destination"]) == ("Advisory", "yes", f"/queue/{name}")
    assert got["scheduledJobId"].startswith("ID:")
    assert (got["AMQ_SCHEDULED_DELAY"], got["AMQ_SCHEDULED_PERIOD"]) == ("60000", "2000")
    assert not [header for header in got if header.startswith("x-delay") or header == "persistent"]


@pytest.mark.row("A35")
def test_order_counts_for_a_stretch_of_time(timed: Broker, client: Talking, name: str) -> None:
    for minutes in range(1, 6):
        schedule(client, f"/queue/{name}", minutes)
    now_ms = timed.call(lambda server: server.core.changes.now_ms)
    # A message waits from when it was read, which is up to a few seconds after this broker's clock.
    moments = {
        "ACTION_START_TIME": str(now_ms + MINUTE_MS * 3 // 2),
        "ACTION_END_TIME": str(now_ms + MINUTE_MS * 7 // 2),
    }
    assert browse(client, **moments) == ["2", "3"]
    assert browse(client, ACTION_START_TIME=moments["ACTION_START_TIME"]) == ["1", "2", "3", "4", "5"]
    order(client, "REMOVEALL", **moments)
    assert browse(client) == ["1", "4", "5"]


@pytest.mark.row("A35")
def test_removed_job_never_comes(timed: Broker, client: Talking, name: str) -> None:
    for minutes in (1, 2):
        schedule(client, f"/queue/{name}", minutes)
    said = {"destination": MANAGEMENT, "AMQ_SCHEDULER_ACTION": "BROWSE", "reply-to": "/temp-queue/replies"}
    client.say("SEND", said)
    job = client.message().headers["scheduledJobId"]
    client.message()
    order(client, "REMOVE", scheduledJobId=job)
    assert browse(client) == ["2"]
    client.done("SUBSCRIBE", {"id": "s", "destination": f"/queue/{name}"})
    timed.advance("5m")
    assert client.message().body == b"2"


@pytest.mark.row("A35")
def test_job_that_has_come_and_is_to_come_again_can_be_removed(
    timed: Broker, client: Talking, name: str
) -> None:
    client.done("SUBSCRIBE", {"id": "s", "destination": f"/queue/{name}"})
    schedule(client, f"/queue/{name}", 1, AMQ_SCHEDULED_PERIOD="1000", AMQ_SCHEDULED_REPEAT="-1")
    timed.advance("61s")
    job = client.message().headers["scheduledJobId"]
    order(client, "REMOVE", scheduledJobId=job)
    timed.advance("1h")
    client.send(f"/queue/{name}", "nothing between")
    assert client.message().body == b"nothing between"


@pytest.mark.row("A35")
def test_all_is_removed_and_stays_so(tmp_path: Path, name: str) -> None:
    clock = ManualClock()
    options = {"stomp_port": 0, "stomp_dialect": "activemq", "clock": clock}
    with Broker(tmp_path, **options) as broker, Talking(broker.stomp_address) as client:
        client.connect()
        for minutes in range(1, 400):
            schedule(client, f"/queue/{name}", minutes)
        order(client, "REMOVEALL")
        schedule(client, f"/queue/{name}", 500, "later")
    with Broker(tmp_path, **options) as broker, Talking(broker.stomp_address) as client:
        client.connect()
        client.done("SUBSCRIBE", {"id": "replies", "destination": "/temp-queue/replies"})
        assert browse(client) == ["later"]


@pytest.mark.row("A35")
def test_removal_finds_a_job_on_the_disk(tmp_path: Path, name: str) -> None:
    options = {"stomp_port": 0, "stomp_dialect": "activemq", "clock": ManualClock()}
    with Broker(tmp_path, **options) as broker, Talking(broker.stomp_address) as client:
        client.connect()
        for minutes in range(100, 400):
            schedule(client, f"/queue/{name}", minutes)
    with Broker(tmp_path, **options) as broker, Talking(broker.stomp_address) as client:
        client.connect()
        client.done("SUBSCRIBE", {"id": "replies", "destination": "/temp-queue/replies"})
        said = {"destination": MANAGEMENT, "AMQ_SCHEDULER_ACTION": "BROWSE"}
        client.say("SEND", said | {"reply-to": "/temp-queue/replies"})
        got = [client.message() for _ in range(300)]
        assert [int(one.body) for one in got] == list(range(100, 400))
        order(client, "REMOVE", scheduledJobId=got[7].headers["scheduledJobId"])
        assert len(browse(client)) == 299


@pytest.mark.row("A35")
@pytest.mark.parametrize("more", [{}, {"AMQ_SCHEDULER_ACTION": "BROWSE"}, {"AMQ_SCHEDULER_ACTION": "REMOVE"}])
def test_order_that_asks_for_nothing_does_nothing(client: Talking, name: str, more: dict[str, str]) -> None:
    """A35: and it is delivered to nobody."""
    schedule(client, f"/queue/{name}", 1)
    client.done("SUBSCRIBE", {"id": "s", "destination": MANAGEMENT})
    client.done("SEND", {"destination": MANAGEMENT} | more, "an order")
    assert browse(client) == ["1"]


@pytest.mark.row("A35", "A10")
def test_moment_has_to_be_a_number(client: Talking) -> None:
    said = {"destination": MANAGEMENT, "AMQ_SCHEDULER_ACTION": "REMOVEALL", "ACTION_START_TIME": "soon"}
    assert client.ask("SEND", said).headers["message"] == "Invalid header"


@pytest.mark.row("A35", "A45")
@pytest.mark.parametrize("action", ["BROWSE", "REMOVEALL"])
def test_order_takes_rights_on_where_messages_wait(
    timed: Broker, connected: Callable[..., Talking], client: Talking, name: str, action: str
) -> None:
    """A35: what waits is everybody's, so who may only write elsewhere sees and removes nothing."""
    schedule(client, f"/queue/{name}", 1)

    def add(server: Server) -> None:
        server.core.add_user("tenant", "secret")
        server.core.set_permission(Permission("tenant", "/", "mine.*", ".*", "mine.*"))

    timed.call(add)
    tenant = connected(to=timed, login="tenant", passcode="secret")
    said = {"destination": MANAGEMENT, "AMQ_SCHEDULER_ACTION": action, "reply-to": f"/queue/mine-{name}"}
    assert tenant.ask("SEND", said).headers["message"] == "access_refused"
    assert browse(client) == ["1"]
