"""Reply codes that the protocol knows and the broker never says, as RabbitMQ never does: 311, 402 and 506.

In RabbitMQ 3.10 and 3.13 the names of 311 and 402 stand in the generated table of codes and nowhere else. 506
is what a publisher is told when a stream has lost its leader, so it comes back with streams. For what the
specification means by them both have other answers, which are proven here.
"""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from pamqp import commands

import pillarbox.protocols.amqp091 as head
from pillarbox import Broker
from pillarbox.protocols.amqp091.errors import REASONS, REPLY_CODES
from tests.clients.raw_client import RawClient
from tests.hostile.conftest import Scene

NEVER_SENT = {311: ("CONTENT_TOO_LARGE", False), 402: ("INVALID_PATH", True), 506: ("RESOURCE_ERROR", True)}


def codes_raised() -> set[int]:
    """The codes with which the head's source makes an AmqpError."""
    return {
        call.args[0].value
        for path in Path(head.__file__).parent.glob("*.py")
        for call in ast.walk(ast.parse(path.read_text()))
        if isinstance(call, ast.Call)
        and isinstance(call.func, ast.Name)
        and call.func.id in ("AmqpError", "from_frame")
        and call.args
        and isinstance(call.args[0], ast.Constant)
        and isinstance(call.args[0].value, int)
    }


@pytest.mark.row("311", "402", "506")
@pytest.mark.parametrize("code", NEVER_SENT)
def test_code_is_known_and_never_sent(code: int) -> None:
    assert REPLY_CODES[code] == NEVER_SENT[code]
    assert code not in REASONS.values()
    assert {404, 406, 501, 505} <= codes_raised() | set(REASONS.values()), "the search finds what is sent"
    assert code not in codes_raised()


@pytest.mark.row("311", "402", "506")
@pytest.mark.parametrize("code", NEVER_SENT)
def test_client_may_say_it(scene: Scene, code: int) -> None:
    """A client that closes for such a reason is answered like any other."""
    with scene.logged_in() as client:
        client.send(commands.Channel.Close(code, NEVER_SENT[code][0], 60, 40), 1)
        client.expect(commands.Channel.CloseOk, 1)
        client.send(commands.Connection.Close(code, NEVER_SENT[code][0], 10, 40))
        client.expect(commands.Connection.CloseOk)


@pytest.mark.row("402", "530")
@pytest.mark.parametrize("vhost", ["no/such//path", "..", " ", "/" * 100])
def test_virtual_host_that_cannot_be_a_path_is_not_found(scene: Scene, vhost: str) -> None:
    """The case of 402; RabbitMQ 3.10.8 was asked with the same names."""
    with scene.client() as client:
        client.tune()
        client.send(commands.Connection.TuneOk(10, 131_072, 0))
        client.send(commands.Connection.Open(vhost))
        assert client.expect_connection_close() == (530, f"NOT_ALLOWED - vhost {vhost} not found", 10, 40)


@pytest.mark.row("506", "541")
def test_broker_that_cannot_store_any_more_says_internal_error(pillarbox_durable: Broker) -> None:
    """The case of 506: resources are used up. 541 closes the connection; nothing was confirmed."""
    with RawClient("127.0.0.1", pillarbox_durable.amqp_port) as client:
        client.open()
        client.open_channel()
        client.send(commands.Queue.Declare(queue="kept", durable=True), 1)
        client.expect(commands.Queue.DeclareOk, 1)
        client.send(commands.Confirm.Select(), 1)
        client.expect(commands.Confirm.SelectOk, 1)
        pillarbox_durable.call(lambda server: server.core.failed("the disk is gone"))
        client.publish("kept", b"x", properties=commands.Basic.Properties(delivery_mode=2))
        assert client.expect_connection_close()[:2] == (541, "INTERNAL_ERROR - the disk is gone")
