"""Users whose password everybody knows may log in from this machine only (R9)."""

from __future__ import annotations

import pytest

from pillarbox.broker.auth import Permission
from pillarbox.broker.core import Core
from pillarbox.engine.memory import MemoryEngine
from pillarbox.engine.schedulers import InlineScheduler
from pillarbox.protocols.amqp091 import methods
from pillarbox.protocols.amqp091.connection import Connection
from pillarbox.protocols.amqp091.handshake import PROTOCOL_HEADER, Settings

TELLS_FAILURES = {"capabilities": {"authentication_failure_close": True}}


def log_in(user: str, *, loopback: bool, loopback_users: tuple[str, ...]) -> tuple[int, bytes]:
    """The method that answers start-ok, and its frame."""
    core = Core(MemoryEngine(InlineScheduler()), now_ms=0, random=bytes, wake=lambda: None, journaled=False)
    core.add_vhost("/")
    for name in ("guest", "worker"):
        core.add_user(name, name)
        core.set_permission(Permission(name, "/", ".*", ".*", ".*"))
    connection = Connection(core, Settings(loopback_users=loopback_users), loopback=loopback)
    connection.receive(PROTOCOL_HEADER)
    connection.take_output()
    answer = f"\0{user}\0{user}".encode()
    start_ok = (methods.CONNECTION_START_OK, TELLS_FAILURES, "PLAIN", answer, "en_US")
    connection.receive(methods.method_frame(0, *start_ok))
    frame = b"".join(connection.take_output())
    return int.from_bytes(frame[7:11], "big"), frame


@pytest.mark.row("R9")
@pytest.mark.parametrize(
    ("user", "loopback", "loopback_users", "accepted"),
    [
        ("guest", True, ("guest",), True),
        ("guest", False, ("guest",), False),
        ("guest", False, (), True),
        ("worker", False, ("guest",), True),
    ],
)
def test_loopback_user_is_refused_from_elsewhere(
    user: str, loopback: bool, loopback_users: tuple[str, ...], accepted: bool
) -> None:
    method_id, frame = log_in(user, loopback=loopback, loopback_users=loopback_users)
    if accepted:
        assert method_id == methods.CONNECTION_TUNE
    else:
        assert method_id == methods.CONNECTION_CLOSE
        assert b"User 'guest' can only connect via localhost" in frame
