"""The broker that the client tests talk to: a real process behind a real socket.

Three targets, chosen by the pytest option `--broker` or the environment variable PILLARBOX_TEST_BROKER:

* `pillarbox` (default): `pillarbox serve` on a fresh data folder and a free port;
* `rabbitmq`: a private RabbitMQ node; it shows that a test asks for what RabbitMQ really does;
* an `amqp://` URL: a broker that is already running and has imported `definitions.json`.

One broker serves the whole test session; tests keep apart by unique names. `definitions.json` holds the
users, virtual hosts and permissions that the tests rely on, in RabbitMQ's export format and with its
salted password hashes.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote, urlsplit

import pytest

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
DEFINITIONS = HERE / "definitions.json"
IMPORT_TIMEOUT_S = 30.0

sys.path.insert(0, str(ROOT))
from bench import peers  # noqa: E402  (bench/ is part of the checkout, not of the package)

sys.path.remove(str(ROOT))


class Target:
    """A running broker as its clients see it: kind, address, and a URL for any user and virtual host."""

    def __init__(self, kind: str, host: str, port: int) -> None:
        self.kind = kind
        self.host = host
        self.port = port

    def __repr__(self) -> str:
        return f"<Target {self.kind} {self.host}:{self.port}>"

    def url(self, vhost: str = "/", user: str = "guest", password: str = "guest") -> str:
        """Return an AMQP URL; the virtual host is percent-encoded, as every client expects it."""
        credentials = f"{quote(user, safe='')}:{quote(password, safe='')}"
        return f"amqp://{credentials}@{self.host}:{self.port}/{quote(vhost, safe='')}"


@contextlib.contextmanager
def run_pillarbox() -> Iterator[Target]:
    """Run `pillarbox serve` with the tests' definitions; stop it with SIGTERM at the end."""
    with peers.Pillarbox(env={"PILLARBOX_LOAD_DEFINITIONS": str(DEFINITIONS)}) as peer:
        yield Target("pillarbox", peers.HOST, peer.amqp_port)


@contextlib.contextmanager
def run_rabbitmq() -> Iterator[Target]:
    """Run a private RabbitMQ node with the tests' definitions."""
    with peers.RabbitMQ(plugins=peers.EXCHANGE_PLUGINS) as peer:
        readable = shutil.copy(DEFINITIONS, peer.data)  # The node may run as a user that cannot read ours.
        peer.ctl("import_definitions", str(readable))
        peers.await_true(
            lambda: "pb-limited" in peer.ctl("list_permissions", "-p", "pb-second"),
            IMPORT_TIMEOUT_S,
            "definitions imported",
        )
        yield Target("rabbitmq", peers.HOST, peer.amqp_port)


@contextlib.contextmanager
def use_running(url: str) -> Iterator[Target]:
    """Take a broker that somebody else started."""
    parts = urlsplit(url)
    if parts.scheme != "amqp" or parts.hostname is None:
        raise pytest.UsageError(f"--broker: expected pillarbox, rabbitmq or an amqp:// URL, got {url!r}")
    yield Target("running", parts.hostname, parts.port or 5672)


STARTERS = {"pillarbox": run_pillarbox, "rabbitmq": run_rabbitmq}
TARGET_KEY: pytest.StashKey[Target] = pytest.StashKey()


def chosen(config: pytest.Config) -> str:
    """Return the target's name: the option, else the environment, else Pillarbox."""
    option: str | None = config.getoption("--broker", default=None)
    return option or os.environ.get("PILLARBOX_TEST_BROKER") or "pillarbox"


@pytest.fixture(scope="session")
def broker(request: pytest.FixtureRequest) -> Target:
    """Return the session's broker; the first test that asks starts it.

    The fixture is visible from two folders and would otherwise exist twice: the running broker is kept
    with the session's configuration, which also stops it.
    """
    config = request.config
    if TARGET_KEY not in config.stash:
        name = chosen(config)
        stack = contextlib.ExitStack()
        target = stack.enter_context(STARTERS[name]() if name in STARTERS else use_running(name))
        config.stash[TARGET_KEY] = target
        config.add_cleanup(stack.close)
    return config.stash[TARGET_KEY]
