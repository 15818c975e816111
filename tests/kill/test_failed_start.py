"""A start that fails, and a broker with a defect, leave the folder as it was: nothing confirmed is lost."""

from __future__ import annotations

from pathlib import Path

import pika
import pytest

from pillarbox import Broker
from pillarbox.broker.ledger import Ledger
from pillarbox.engine.base import DefinitionFact, Group
from pillarbox.engine.local import LocalEngine
from pillarbox.engine.schedulers import InlineScheduler
from pillarbox.errors import StartupError
from pillarbox.store.files import DiskFiles

PERSISTENT = pika.BasicProperties(delivery_mode=2)


def bodies(broker: Broker, queue: str) -> list[bytes]:
    with pika.BlockingConnection(pika.URLParameters(broker.amqp_url)) as connection:
        channel = connection.channel()
        found = []
        while (got := channel.basic_get(queue, auto_ack=True))[0] is not None:
            found.append(got[2])
        return found


def fill(broker: Broker) -> None:
    """Ten confirmed messages in a queue, and in a stream."""
    with pika.BlockingConnection(pika.URLParameters(broker.amqp_url)) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        channel.queue_declare("q", durable=True)
        channel.queue_declare("s", durable=True, arguments={"x-queue-type": "stream"})
        for queue in ("q", "s"):
            for number in range(10):
                channel.basic_publish("", queue, b"%d" % number, PERSISTENT)


TEN = [b"%d" % number for number in range(10)]


@pytest.mark.row("R80")
def test_start_that_a_damaged_stream_refuses_keeps_all_queues(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with Broker(str(data)) as broker:
        fill(broker)
    (segment,) = data.glob("logs/*/*.log")
    whole = segment.read_bytes()
    segment.write_bytes(whole[:40])
    for _ in range(2):
        with pytest.raises(StartupError, match="is damaged"):
            Broker(str(data)).start()
    segment.write_bytes(whole)
    with Broker(str(data)) as broker:
        assert bodies(broker, "q") == TEN


@pytest.mark.row("R80")
def test_start_that_cannot_read_a_stream_says_so_and_keeps_all_queues(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with Broker(str(data)) as broker:
        fill(broker)
    (folder,) = data.glob("logs/*")
    state = folder / "state"
    kept = state.read_bytes()
    state.unlink()
    state.mkdir()
    with pytest.raises(StartupError, match="the log of a stream cannot be opened: Is a directory"):
        Broker(str(data)).start()
    state.rmdir()
    state.write_bytes(kept)
    with Broker(str(data)) as broker:
        assert bodies(broker, "q") == TEN


def test_folder_with_definitions_of_a_newer_version_is_refused_in_words(tmp_path: Path) -> None:
    data = str(tmp_path / "data")
    with Broker(data) as broker:
        fill(broker)
    engine = LocalEngine(data, DiskFiles(), InlineScheduler())
    engine.open()
    engine.append(Group(1, [DefinitionFact("hologram", "h", b"")], [], [], []))
    engine.close()
    for _ in range(2):
        with pytest.raises(StartupError, match=r"a kind that this version .* does not know \(hologram\)"):
            Broker(data).start()
    engine = LocalEngine(data, DiskFiles(), InlineScheduler())
    engine.open()
    engine.append(Group(1, [DefinitionFact("hologram", "h", None)], [], [], []))
    engine.close()
    with Broker(data) as broker:
        assert bodies(broker, "q") == TEN


def test_what_a_defect_has_lost_in_memory_is_there_after_the_next_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message is on its way from its lane to a ledger when something goes wrong."""
    data = str(tmp_path / "data")
    with Broker(data) as broker:
        fill(broker)
        with monkeypatch.context() as patch:

            def add(*_: object) -> int:
                raise ZeroDivisionError("by mistake")

            patch.setattr(Ledger, "add", add)
            connection = pika.BlockingConnection(pika.URLParameters(broker.amqp_url))
            channel = connection.channel()
            channel.basic_consume("q", lambda *_: None)
            while broker.call(lambda server: server.core.failure) is None:
                connection.process_data_events(0.01)
            connection.close()
    with Broker(data) as broker:
        assert bodies(broker, "q") == TEN
