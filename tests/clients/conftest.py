"""Fixtures of the client tests: the broker, unique names, and pika connections that close themselves."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import pytest
from broker_target import Target, broker, chosen
from pika_tools import Pika
from raw_client import RawClient

__all__ = ["broker"]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--broker",
        metavar="TARGET",
        help="the broker that client tests talk to: pillarbox (default), rabbitmq, or an amqp:// URL",
    )
    parser.addoption(
        "--to-come",
        action="store_true",
        help="run the tests of rows that Pillarbox does not have yet: one that passes is an error",
    )


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "to_come(*ids): proves rows that Pillarbox does not have yet")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out, on Pillarbox, what it does not have yet; with --to-come run it and expect it to fail."""
    if chosen(config) != "pillarbox":
        return
    run = bool(config.getoption("--to-come", default=False))
    for item in items:
        if marker := item.get_closest_marker("to_come"):
            reason = f"{', '.join(marker.args)} to come"
            item.add_marker(pytest.mark.xfail(reason=reason, run=run, strict=run))


@pytest.fixture
def broker_url(broker: Target) -> str:
    return broker.url()


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    """Return a name that no other test uses, for queues and exchanges; it starts like the test's own name."""
    return f"{request.node.originalname.removeprefix('test_')[:24]}-{secrets.token_hex(4)}"


@pytest.fixture
def pika_to(broker: Target) -> Iterator[Pika]:
    """Return a factory of pika connections, all closed at the test's end."""
    factory = Pika(broker)
    yield factory
    factory.close()


@pytest.fixture
def raw(broker: Target) -> Iterator[RawClient]:
    """Return a socket on which nothing was said yet."""
    with RawClient(broker.host, broker.port) as client:
        yield client


@pytest.fixture
def raw_channel(raw: RawClient) -> RawClient:
    """Return a logged-in raw client with channel 1 open."""
    raw.open()
    raw.open_channel()
    return raw
