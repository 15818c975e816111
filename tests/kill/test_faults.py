"""Disk full, a failing sync, a folder that became read-only, under the whole broker.

DESIGN 7: refused loudly; after a failed fsync nothing more is acknowledged until a reopen has verified the
files. A publisher is told by 541 with the reason instead of a confirm; consumers of what is in memory go on;
nothing that was confirmed is lost.
"""

from __future__ import annotations

import errno
import logging
import os
import random
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pika
import pytest
from pika.adapters.blocking_connection import BlockingChannel

import pillarbox.app.server
from pillarbox import Broker
from pillarbox.app.server import DEFECT
from pillarbox.engine.local import LocalEngine
from pillarbox.engine.schedulers import InlineScheduler, LoopScheduler
from pillarbox.errors import StartupError
from pillarbox.store.files import DiskFiles
from pillarbox.testing.faults import FaultyFiles, SimulatedFiles
from pillarbox.testing.journal import ShuffledScheduler

from . import topology
from .actors import Actor, Drain, any_style
from .model import Model
from .whole import Whole

PERSISTENT = pika.BasicProperties(delivery_mode=2)
WAIT_S = 5.0
NOT_STORED = "INTERNAL_ERROR - writing the journal failed: "

Fault = Callable[[FaultyFiles], None]
FAULTS: dict[str, tuple[Fault, str]] = {
    "disk full": (lambda files: files.disk_full_after(100), os.strerror(errno.ENOSPC)),
    "sync fails": (lambda files: files.fail("sync", errno.EIO), os.strerror(errno.EIO)),
    "read-only": (lambda files: files.read_only(), os.strerror(errno.EROFS)),
}


class Server(pillarbox.app.server.Server):
    """A server whose files can be made to fail."""

    files: FaultyFiles

    def _make_engine(self, loop: object) -> LocalEngine:
        self.files = FaultyFiles(DiskFiles())
        return LocalEngine(self.config.data, self.files, LoopScheduler(loop), allocate_bytes=0)


class Clients:
    """Connections to one broker, closed at the end."""

    def __init__(self, broker: Broker) -> None:
        self.broker = broker
        self._open: list[pika.BlockingConnection] = []

    def channel(self) -> BlockingChannel:
        """A channel with confirms on a connection of its own; a broker that hangs ends it."""
        connection = pika.BlockingConnection(pika.URLParameters(self.broker.amqp_url))
        self._open.append(connection)
        channel = connection.channel()
        channel.confirm_delivery()
        return channel

    def close(self) -> None:
        for connection in self._open:
            if connection.is_open:
                connection.close()


@pytest.fixture
def data(tmp_path: Path) -> str:
    return str(tmp_path / "data")


@pytest.fixture
def clients(data: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Clients]:
    """Clients of a broker whose files can be made to fail; `clients.broker.server.files` does it."""
    monkeypatch.setattr(pillarbox.app.server, "Server", Server)
    with Broker(data) as broker:
        clients = Clients(broker)
        yield clients
        clients.close()


def publish(channel: BlockingChannel, body: bytes, *, queue: str = "q") -> None:
    channel.basic_publish("", queue, body, PERSISTENT)


def publish_many(channel: BlockingChannel, queue: str) -> None:
    for _ in range(10):
        publish(channel, b"x" * 50, queue=queue)


def publish_into_the_fault(clients: Clients, channel: BlockingChannel, *, queue: str = "q") -> str:
    """Publish until the fault is met; return how the broker closed the connection.

    A confirm that never comes would hang here: then the socket is cut, and the text is that of a lost one.
    """
    watchdog = threading.Timer(WAIT_S, channel.connection._impl._transport._sock.shutdown, [2])
    watchdog.start()
    try:
        with pytest.raises(pika.exceptions.AMQPConnectionError) as caught:
            publish_many(channel, queue)
    finally:
        watchdog.cancel()
    return str(getattr(caught.value, "reply_text", caught.value))


@pytest.mark.row("541")
@pytest.mark.parametrize("fault", FAULTS)
def test_publisher_gets_541_with_the_reason_instead_of_a_confirm(clients: Clients, fault: str) -> None:
    channel = clients.channel()
    channel.queue_declare("q", durable=True)
    publish(channel, b"confirmed")
    make, reason = FAULTS[fault]
    make(clients.broker.server.files)  # type: ignore[attr-defined]
    assert publish_into_the_fault(clients, channel) == NOT_STORED + reason


@pytest.mark.row("541")
def test_everybody_who_waits_for_a_confirm_is_told(clients: Clients) -> None:
    """Also who published before the fault was met, and now only waits."""
    channels = [clients.channel() for _ in range(4)]
    channels[0].queue_declare("q", durable=True)
    publish(channels[0], b"confirmed")
    clients.broker.server.files.fail("sync", errno.EIO)  # type: ignore[attr-defined]
    told: list[str] = []

    def run(channel: BlockingChannel) -> None:
        told.append(publish_into_the_fault(clients, channel))

    threads = [threading.Thread(target=run, args=[channel]) for channel in channels]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert told == [NOT_STORED + os.strerror(errno.EIO)] * 4


@pytest.mark.parametrize("fault", FAULTS)
def test_consumers_of_what_is_in_memory_go_on(clients: Clients, fault: str) -> None:
    """Deliveries, acknowledgements and transient messages need no disk."""
    publisher, consumer = clients.channel(), clients.channel()
    publisher.queue_declare("q", durable=True)
    publisher.queue_declare("fault", durable=True)
    for number in range(20):
        publish(publisher, b"%d" % number)
    FAULTS[fault][0](clients.broker.server.files)  # type: ignore[attr-defined]
    publish_into_the_fault(clients, publisher, queue="fault")
    received = []
    for method, _, body in consumer.consume("q", inactivity_timeout=WAIT_S):
        assert method is not None
        received.append(body)
        consumer.basic_ack(method.delivery_tag)
        if len(received) == 20:
            break
    consumer.cancel()
    assert received == [b"%d" % number for number in range(20)]
    consumer.basic_publish("", "q", b"transient", pika.BasicProperties(delivery_mode=1))
    assert consumer.basic_get("q", auto_ack=True)[2] == b"transient"
    assert clients.broker.call(lambda server: server._engine.unsynced_bytes) == 0, "publishers are held up"


@pytest.mark.row("R75", "541")
def test_events_that_cannot_be_stored_keep_nothing_from_happening(
    data: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Clients come and go as before; who keeps events in memory hears of it, and durable queues miss it."""
    monkeypatch.setattr(pillarbox.app.server, "Server", Server)
    with Broker(data, event_exchange=True) as broker:
        clients = Clients(broker)
        watcher = clients.channel()
        watcher.queue_declare("audit", durable=True)
        watcher.queue_declare("watch", exclusive=True)
        for queue in ("audit", "watch"):
            watcher.queue_bind(queue, "amq.rabbitmq.event", "connection.closed")
        watcher.queue_declare("q")
        watcher.basic_publish("", "q", b"x")
        broker.server.files.fail("sync", errno.EIO)  # type: ignore[attr-defined]
        publish_into_the_fault(clients, clients.channel(), queue="audit")
        kept = broker.queue("audit").ready
        channel = clients.channel()
        channel.queue_declare("own", exclusive=True)
        assert channel.basic_get("q")[2] == b"x"
        watcher.queue_purge("watch")
        channel.connection.close()
        assert watcher.basic_get("watch", auto_ack=True)[0].routing_key == "connection.closed"
        assert watcher.basic_get("q", auto_ack=True)[2] == b"x"
        assert broker.queue("audit").ready == kept
        assert not broker.call(lambda server: "own" in server.core.vhosts["/"].queues)
        clients.close()


@pytest.mark.row("541")
def test_new_durable_definitions_are_refused_as_well(clients: Clients) -> None:
    """What declare-ok promises could not be kept; what is not durable goes on."""
    channel = clients.channel()
    channel.queue_declare("q", durable=True)
    clients.broker.server.files.fail("sync", errno.EIO)  # type: ignore[attr-defined]
    publish_into_the_fault(clients, channel)
    refused: list[Callable[[BlockingChannel], object]] = [
        lambda channel: channel.queue_declare("new", durable=True),
        lambda channel: channel.exchange_declare("new", "direct", durable=True),
        lambda channel: channel.queue_bind("q", "amq.direct", "key"),
    ]
    for ask in refused:
        with pytest.raises(pika.exceptions.ConnectionClosedByBroker) as caught:
            ask(clients.channel())
        assert (caught.value.reply_code, caught.value.reply_text) == (
            541,
            NOT_STORED + os.strerror(errno.EIO),
        )
    channel = clients.channel()
    channel.queue_declare("q", durable=True, passive=True)
    channel.queue_declare("q", durable=True)
    channel.queue_declare("passing", exclusive=True)
    channel.queue_bind("passing", "amq.direct", "key")
    channel.queue_delete("passing")
    channel.queue_delete("q")


@pytest.mark.parametrize("fault", FAULTS)
def test_restart_after_repair_has_all_that_was_confirmed(
    data: str, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(pillarbox.app.server, "Server", Server)
        with Broker(data) as broker:
            clients = Clients(broker)
            channel = clients.channel()
            channel.queue_declare("q", durable=True)
            for number in range(20):
                publish(channel, b"%d" % number)
            FAULTS[fault][0](broker.server.files)  # type: ignore[attr-defined]
            publish_into_the_fault(clients, channel)
    with Broker(data) as broker:
        clients = Clients(broker)
        channel = clients.channel()
        bodies = []
        while (got := channel.basic_get("q", auto_ack=True))[0] is not None:
            bodies.append(got[2])
        assert bodies[:20] == [b"%d" % number for number in range(20)]
        assert set(bodies[20:]) <= {b"x" * 50}, "what was not confirmed may be there, and nothing else"
        publish(channel, b"again")
        clients.close()


def test_the_operator_is_told_in_the_log(clients: Clients, caplog: pytest.LogCaptureFixture) -> None:
    channel = clients.channel()
    channel.queue_declare("q", durable=True)
    publish(channel, b"confirmed")
    clients.broker.server.files.fail("sync", errno.EIO)  # type: ignore[attr-defined]
    with caplog.at_level(logging.ERROR, "pillarbox"):
        publish_into_the_fault(clients, channel)
    said = [record.getMessage() for record in caplog.records if record.name.startswith("pillarbox")]
    assert said == [
        "writing the journal failed: Input/output error; nothing is stored any more until the broker is "
        "started again"
    ]


@pytest.mark.row("541")
def test_a_defect_ends_those_who_wait_and_stores_nothing_more(
    clients: Clients, caplog: pytest.LogCaptureFixture
) -> None:
    """A stream whose codec cannot be made stands for any mistake of ours within a tick."""

    def make_codec() -> None:
        raise ZeroDivisionError("by mistake")

    clients.broker.server.core.streams.make_codec = make_codec  # type: ignore[assignment]
    channel, other = clients.channel(), clients.channel()
    channel.queue_declare("s", durable=True, arguments={"x-queue-type": "stream"})
    channel.queue_declare("q", durable=True)
    assert publish_into_the_fault(clients, channel, queue="s") == f"INTERNAL_ERROR - {DEFECT}"
    assert publish_into_the_fault(clients, other) == f"INTERNAL_ERROR - {DEFECT}"
    assert "by mistake" in caplog.text


def test_a_read_only_folder_is_refused_in_words(data: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with Broker(data):
        pass

    class ReadOnly(Server):
        def _make_engine(self, loop: object) -> LocalEngine:
            engine = super()._make_engine(loop)
            self.files.read_only()
            return engine

    monkeypatch.setattr(pillarbox.app.server, "Server", ReadOnly)
    with pytest.raises(StartupError, match=f"data folder {data} cannot be used: Read-only file system"):
        Broker(data).start()


# --- at any moment ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("operation", ["write", "sync", "sync_folder", "rename", "remove", "open_to_write"])
@pytest.mark.parametrize("seed", range(4))
def test_fault_at_any_moment_of_a_load_loses_nothing_confirmed(operation: str, seed: int) -> None:
    """After it no stored message is confirmed, whoever waits is closed with 541, and a restart has all."""
    chance = random.Random(f"{operation} {seed}")
    simulated = SimulatedFiles()
    files = FaultyFiles(simulated)
    whole = Whole(files, ShuffledScheduler(chance), chance)
    model = Model(topology.QUEUES, [topology.RATED])
    first = Actor(0, 0, chance, model.apply, any_style(chance)._replace(consumes=0.0))
    whole.connect(first)
    whole.run(lambda: first.open)
    topology.declare(first)
    first.fence()
    whole.run(lambda: first.settled)

    files.fail(operation, errno.EIO, after=chance.choice((0, 3, 12)))
    actors = [Actor(number, 0, chance, model.apply, any_style(chance)) for number in (1, 2, 3)]
    whole.connect(*actors)
    for _ in range(150):
        for actor in actors:
            actor.step()
        whole.turn()
        whole.disk(chance.choice((0, 0, 1, 5, 20)))
    whole.scheduler.run_until_idle()
    whole.turn()
    if whole.core.failure is not None:
        confirmed = model.counts["confirmed"]
        for actor in actors:
            if actor.closed is None:
                assert not actor.waits_for_the_disk, "waits for a confirm that never comes"
            else:
                assert (actor.close_code, actor.closed) == (541, f"INTERNAL_ERROR - {whole.core.failure}")
        whole.turn()
        assert model.counts["confirmed"] == confirmed

    for actor in actors:
        if actor.closed is not None:
            model.on_close(actor.publisher)
    files.heal()
    again = Whole(SimulatedFiles(simulated.image()), InlineScheduler(), chance)
    drain = Drain(0, 1 << 20, chance, lambda event: None, range(1, 4))
    vhost = again.core.vhosts["/"]
    drain.know(vhost.queues, vhost.exchanges)
    again.connect(drain)
    again.run(lambda: drain.done, [drain])
    assert not (drain.errors + model.check(drain.state))
