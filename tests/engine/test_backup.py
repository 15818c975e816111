"""Copies of a data folder under load: states that a crash could have left, with all that was confirmed.

The broker writes checkpoints one after another meanwhile, so that segments come and go under the copying.
"""

from __future__ import annotations

import threading
from pathlib import Path

import pika
import pytest

from pillarbox import Broker
from pillarbox.app.server import Server
from pillarbox.broker.core import CoreSnapshot
from pillarbox.engine import backup
from pillarbox.engine.backup import back_up
from pillarbox.engine.verify import verify
from pillarbox.store.files import DiskFiles, StoreError

COPIES = 6
WAIT_S = 60.0


class Load:
    """A publisher with confirms and a consumer that settles every other message, until it is told to stop."""

    def __init__(self, url: str) -> None:
        self.confirmed: list[int] = []
        self._parameters = pika.URLParameters(url)
        self._over = threading.Event()
        self._some = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        with pika.BlockingConnection(self._parameters) as connection:
            channel = connection.channel()
            channel.confirm_delivery()
            channel.queue_declare("q", durable=True)
            channel.queue_declare("gone", durable=True)
            number = 0
            while not self._over.is_set():
                body = b"%d " % number + bytes(5000)
                channel.basic_publish("", "q", body, pika.BasicProperties(delivery_mode=2))
                channel.basic_publish("", "gone", body, pika.BasicProperties(delivery_mode=2))
                channel.basic_get("gone", auto_ack=True)
                self.confirmed.append(number)
                number += 1
                self._some.set()

    def more(self) -> int:
        """Wait until one more is confirmed; return how many are."""
        self._some.clear()
        assert self._some.wait(WAIT_S)
        return len(self.confirmed)

    def stop(self) -> None:
        self._over.set()
        self._thread.join(WAIT_S)


def checkpoint(server: Server) -> None:
    server._engine.checkpoint(CoreSnapshot(server.core))


def test_copies_under_load_have_everything_that_was_confirmed(tmp_path: Path) -> None:
    data = tmp_path / "data"
    before: list[int] = []
    with Broker(data=str(data)) as broker:
        load = Load(broker.amqp_url)
        for number in range(COPIES):
            before.append(load.more())
            broker.call(checkpoint)
            back_up(str(data), str(tmp_path / f"copy-{number}"), DiskFiles())
            report = verify(str(tmp_path / f"copy-{number}"), DiskFiles())
            assert report.ok, report.problems
            load.more()
        load.stop()
    for number, count in enumerate(before):
        with (
            Broker(data=str(tmp_path / f"copy-{number}")) as copy,
            pika.BlockingConnection(pika.URLParameters(copy.amqp_url)) as connection,
        ):
            channel = connection.channel()
            found = []
            while (body := channel.basic_get("q", auto_ack=True)[2]) is not None:
                found.append(int(body.split()[0]))
            assert found == list(range(len(found)))
            assert len(found) >= count


def test_checkpoint_that_comes_in_between_has_all_opened_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing of the first attempt stays open, and what is copied belongs together."""
    data = tmp_path / "data"
    with Broker(data=str(data)):
        """A stop leaves a checkpoint."""
    attempts: list[str] = []
    paths = backup._paths

    class Moving(DiskFiles):
        """A folder whose checkpoint is renamed after the first look."""

        opened = 0

        def open(self, path: str, *, create: bool = False, write: bool = False) -> int:
            handle = super().open(path, create=create, write=write)
            Moving.opened += 1
            return handle

        def close(self, handle: int) -> None:
            Moving.opened -= 1
            super().close(handle)

    def moving(source: str, files: Moving, checkpoints: list[int]) -> list[str]:
        attempts.append(source)
        found = paths(source, files, checkpoints)
        if len(attempts) == 1:
            [old] = data.glob("checkpoint-*")
            old.rename(data / f"checkpoint-{checkpoints[0] + 1:012d}")
        elif len(attempts) == 2:
            (data / f"checkpoint-{checkpoints[0] + 1:012d}").write_bytes(b"one more, half written")
        return found

    monkeypatch.setattr(backup, "_paths", moving)
    files = Moving()
    back_up(str(data), str(tmp_path / "copy"), files)
    assert len(attempts) == 3
    assert Moving.opened == 0


def test_folder_that_never_holds_still_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = tmp_path / "data"
    with Broker(data=str(data)):
        """A stop leaves a checkpoint."""
    monkeypatch.setattr(backup, "_paths", lambda source, files, checkpoints: [str(data / "gone")])
    with pytest.raises(StoreError, match="changes faster than it can be opened: try again"):
        back_up(str(data), str(tmp_path / "copy"), DiskFiles())
