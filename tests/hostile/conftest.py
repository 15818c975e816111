"""Fixtures for hostile clients: a real broker, a neighbour beside them, and the proof that nothing remains.

`scene` is a broker inside this process, so that a test can look at what it holds. When a test is over the
neighbour must have all its messages, the broker no more connections, sessions and queues than before, and the
log no error and no traceback.
"""

from __future__ import annotations

import contextlib
import logging
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

import pytest

from pillarbox import Broker, ManualClock
from pillarbox.app.process import SWITCH_INTERVAL_S
from tests.clients.raw_client import RawClient
from tests.hostile.neighbour import Neighbour, connect, undisturbed

WAIT_S = 20.0


class Resident(NamedTuple):
    """What a broker holds for its clients."""

    drivers: int
    sessions: int
    queues: int
    exchanges: int
    body_bytes: int


class Scene:
    """A broker and the neighbour on it."""

    def __init__(self, broker: Broker, neighbour: Neighbour) -> None:
        self.broker = broker
        self.neighbour = neighbour
        self.host, self.port = "127.0.0.1", broker.amqp_port

    def client(self) -> RawClient:
        """A socket on which nothing was said yet; to be used with `with`."""
        return connect(self.host, self.port)

    @contextlib.contextmanager
    def logged_in(self, *, heartbeat_s: int = 0, frame_max: int = 131072) -> Iterator[RawClient]:
        """A client with channel 1 open."""
        with self.client() as client:
            client.open(heartbeat_s=heartbeat_s, frame_max=frame_max)
            client.open_channel()
            yield client

    def resident(self) -> Resident:
        return self.broker.call(
            lambda server: Resident(
                len(server.clients),
                len(server.core.sessions),
                sum(len(vhost.queues) + len(vhost.reply_queues) for vhost in server.core.vhosts.values()),
                sum(len(vhost.exchanges) for vhost in server.core.vhosts.values()),
                server.core.changes.resident_bytes,
            )
        )

    def eventually(self, condition: Callable[[], bool], what: str = "") -> None:
        """Ask again until it is so; each look is a turn of the broker's loop."""
        deadline = time.monotonic() + WAIT_S
        pause = threading.Event()
        while not condition():
            assert time.monotonic() < deadline, what or self.resident()
            pause.wait(0.005)

    def longest_turn_ms(self) -> float:
        return self.broker.call(lambda server: server.ticker.longest_ns) / 1e6


@contextlib.contextmanager
def scene_on(broker: Broker, caplog: pytest.LogCaptureFixture) -> Iterator[Scene]:
    """A scene on a broker that is started; see the module for what must hold when it is over."""
    with undisturbed("127.0.0.1", broker.amqp_port) as neighbour:
        scene = Scene(broker, neighbour)
        before = scene.resident()._replace(body_bytes=0)
        yield scene
        scene.eventually(lambda: scene.resident()._replace(body_bytes=0) == before)
    scene.eventually(lambda: scene.resident().drivers == 0)
    assert scene.resident().sessions == scene.resident().body_bytes == 0
    faults = [record for record in caplog.records if record.exc_info or record.levelno >= logging.ERROR]
    assert not faults, [record.getMessage() for record in faults]


@pytest.fixture(autouse=True)
def short_switches() -> Iterator[None]:
    """Broker, neighbour and test are threads of one process: let them switch as `pillarbox serve` does."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    yield
    sys.setswitchinterval(before)


@pytest.fixture
def scene(caplog: pytest.LogCaptureFixture) -> Iterator[Scene]:
    """A broker in memory, on the machine's clock."""
    with Broker() as broker, scene_on(broker, caplog) as scene:
        yield scene


@pytest.fixture
def manual_scene(caplog: pytest.LogCaptureFixture) -> Iterator[Scene]:
    """The same on a clock that stands still until `scene.broker.advance`."""
    with Broker(clock=ManualClock()) as broker, scene_on(broker, caplog) as scene:
        yield scene
