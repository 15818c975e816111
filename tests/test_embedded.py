"""A broker inside a program: its life, and how it says where it is."""

from __future__ import annotations

import socket
from pathlib import Path

import pika
import pytest

from pillarbox import Broker, StartupError


def test_broker_that_was_stopped_answers_no_more() -> None:
    """A test of a restart that forgets to start must not read what was there before."""
    with Broker() as broker:
        with pika.BlockingConnection(pika.URLParameters(broker.amqp_url)) as connection:
            connection.channel().queue_declare("orders")
        assert broker.queue("orders").ready == 0
        broker.stop()
        assert repr(broker) == "<Broker not started>"
        with pytest.raises(RuntimeError, match="not running"):
            broker.queue("orders")
        with pytest.raises(RuntimeError, match="not running"):
            _ = broker.amqp_url
        broker.stop()


def test_broker_that_cannot_start_again_can_be_stopped(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    broker = Broker(str(tmp_path), port=port)
    broker.start()
    broker.stop()
    with socket.create_server(("127.0.0.1", port)), pytest.raises(StartupError, match="already in use"):
        broker.start()
    broker.stop()
    with broker:
        assert broker.amqp_port == port


def test_broker_that_runs_is_not_started_twice() -> None:
    """The first one would go on until the program ends, and nobody could reach it."""
    with Broker() as broker:
        port = broker.amqp_port
        with pytest.raises(RuntimeError, match="running already"):
            broker.start()
        assert broker.amqp_port == port


def test_address_of_ipv6_stands_in_brackets_in_a_url() -> None:
    """RFC 3986, 3.2.2."""
    with Broker(host="::1", management_port=0, kafka_port=0) as broker:
        assert broker.amqp_url == f"amqp://guest:guest@[::1]:{broker.amqp_port}/%2F"
        assert broker.management_url.startswith("http://[::1]:")
        assert broker.kafka_bootstrap.startswith("[::1]:")
        with pika.BlockingConnection(pika.URLParameters(broker.amqp_url)) as connection:
            assert connection.is_open
