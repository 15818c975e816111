"""Messages that say who they are are taken once (A41)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from pillarbox import Broker
from tests.protocols.stomp.talking import Talking


def send(client: Talking, name: str, identity: str, body: str = "x", **more: str) -> None:
    headers = {"destination": f"/queue/{name}", "_AMQ_DUPL_ID": identity} | more
    client.done("SEND", headers, body)


@pytest.mark.row("A41")
def test_message_that_comes_again_is_answered_and_not_taken(
    activemq: Broker, connected: Callable[..., Talking], name: str
) -> None:
    """A41: whoever sends it; another destination has not had it."""
    first, second = connected(to=activemq), connected(to=activemq)
    send(first, name, "1")
    send(first, name, "2")
    send(second, name, "1", "again")
    send(second, f"{name}-other", "1")
    send(second, f"{name},/queue/{name}-third", "2")
    counts = [activemq.queue(f"{name}{end}").ready for end in ("", "-other", "-third")]
    assert counts == [2, 1, 1]


@pytest.mark.row("A41")
def test_restart_knows_persistent_messages(tmp_path: Path, name: str) -> None:
    """A41: the second time the one is a duplicate, and the other one, which the restart has lost, is not."""
    for _ in range(2):
        with Broker(tmp_path, stomp_port=0) as broker, Talking(broker.stomp_address) as client:
            client.connect()
            send(client, name, "kept", persistent="true")
            send(client, name, "transient")
            assert broker.queue(name).ready == 2


@pytest.mark.row("A41", "A5")
def test_transaction_with_a_duplicate_is_none(activemq: Broker, connected: Callable[..., Talking]) -> None:
    client, name = connected(to=activemq), "tx"
    client.done("BEGIN", {"transaction": "t"})
    send(client, name, "1", transaction="t")
    send(client, name, "1", transaction="t")
    send(client, name, "2", transaction="t")
    client.done("ABORT", {"transaction": "t"})
    client.done("BEGIN", {"transaction": "t"})
    send(client, name, "1", transaction="t")
    client.done("COMMIT", {"transaction": "t"})
    client.done("BEGIN", {"transaction": "t"})
    send(client, name, "3", transaction="t")
    send(client, name, "1", transaction="t")
    got = client.ask("COMMIT", {"transaction": "t"})
    assert got.headers["message"] == "Duplicate message"
    send(client, name, "3")
    assert activemq.queue(name).ready == 2


@pytest.mark.row("A41")
def test_message_that_was_refused_may_come_again(
    activemq: Broker, connected: Callable[..., Talking], name: str
) -> None:
    limits = {"x-max-length": "1", "x-overflow": "reject-publish"}
    client = connected(to=activemq)
    send(client, name, "1", **limits)
    headers = {"destination": f"/queue/{name}", "_AMQ_DUPL_ID": "2", "receipt": "r"}
    client.say("SEND", headers, "refused")
    assert client.error().headers["receipt-id"] == "r"
    again = connected(to=activemq)
    again.say("SUBSCRIBE", {"id": "s", "destination": f"/queue/{name}"})
    again.message()
    again.say("SEND", headers, "taken")
    assert {again.read().command for _ in range(2)} == {"RECEIPT", "MESSAGE"}


@pytest.mark.row("A41")
def test_operator_says_how_many_are_known(connected: Callable[..., Talking], name: str) -> None:
    with Broker(stomp_port=0, stomp_id_cache_size=2) as broker:
        client = connected(to=broker)
        for identity in "1231":
            send(client, name, identity)
        assert broker.queue(name).ready == 4
    with Broker(stomp_port=0, stomp_id_cache_size=0) as broker:
        client = connected(to=broker)
        for _ in range(2):
            send(client, name, "1")
        assert broker.queue(name).ready == 2
