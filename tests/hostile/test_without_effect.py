"""What is accepted and has no effect yet is said in the log, once for each queue that is made with it."""

from __future__ import annotations

import logging

import pytest
from pamqp import commands

from pillarbox.broker.arguments import WITHOUT_EFFECT
from pillarbox.protocols.amqp091 import methods
from tests.hostile.conftest import Scene

VALUES = {"x-single-active-consumer": True}


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]


def declare(scene: Scene, name: str, arguments: dict[str, object]) -> None:
    with scene.logged_in() as client:
        # Not by pamqp, which has a mind of its own about names.
        frame = methods.method_frame(
            1, methods.QUEUE_DECLARE, 0, name, False, False, True, False, False, arguments
        )
        client.send_bytes(frame)
        client.expect(commands.Queue.DeclareOk, 1)
        # A redeclaration makes nothing and says nothing.
        client.send_bytes(frame)
        client.expect(commands.Queue.DeclareOk, 1)


@pytest.mark.parametrize("argument", WITHOUT_EFFECT)
def test_queue_made_with_an_argument_without_effect_is_named_in_the_log(
    scene: Scene, caplog: pytest.LogCaptureFixture, argument: str
) -> None:
    declare(scene, "limited", {argument: VALUES.get(argument, 3), "x-message-ttl": 1000})
    assert warnings(caplog) == [f"queue 'limited' in vhost '/' was declared with {argument}: no effect yet"]


def test_one_queue_is_one_line(scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
    """However many of its arguments have no effect; what a client writes cannot forge lines."""
    declare(scene, "a'\t\x1b[31m", {argument: VALUES.get(argument, 3) for argument in WITHOUT_EFFECT})
    (line,) = warnings(caplog)
    assert line.isprintable()
    assert all(argument in line for argument in WITHOUT_EFFECT)


def test_arguments_that_work_or_ask_for_nothing_are_not_mentioned(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    declare(scene, "usual", {"x-message-ttl": 1000, "x-expires": 60_000, "x-single-active-consumer": False})
    assert warnings(caplog) == []
