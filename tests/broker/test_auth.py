"""Passwords and permissions.

Source: RabbitMQ's access control and password documentation; rows R5, R90-R92, R94.
"""

from __future__ import annotations

import pytest
from broker_tools import Domain, Outlet
from hypothesis import given
from hypothesis import strategies as st

from pillarbox.broker.auth import ALGORITHMS, Permission, User, hash_password, password_matches
from pillarbox.errors import BrokerError, Reason

DOCUMENTED = "kI3GCqW5JLMJa4iX1lo7X4D6XbYqlLgxIs30+P6tENUV2POR"
"""What RabbitMQ's documentation works out for the password test12 with the salt 908DC60A."""


@pytest.mark.row("R94")
def test_documented_hash_is_reproduced() -> None:
    salt = bytes.fromhex("908DC60A")
    assert hash_password("test12", salt) == DOCUMENTED
    assert password_matches(User("u", DOCUMENTED), b"test12")


@pytest.mark.row("R94")
@pytest.mark.parametrize("wrong", [b"", b"test1", b"test123", b"Test12", b"test12\0"])
def test_any_other_password_is_refused(wrong: bytes) -> None:
    assert not password_matches(User("u", DOCUMENTED), wrong)


@pytest.mark.row("R94")
@given(
    st.text(st.characters(codec="utf-8"), max_size=30),
    st.binary(min_size=4, max_size=4),
    st.sampled_from(sorted(ALGORITHMS)),
)
def test_every_password_matches_its_hash_alone(password: str, salt: bytes, algorithm: str) -> None:
    user = User("u", hash_password(password, salt, algorithm), algorithm)
    assert password_matches(user, password.encode())
    assert not password_matches(user, password.encode() + b"x")


@pytest.mark.row("R91")
@pytest.mark.parametrize("stored", ["", "====", "é", "AAAA", "kI3GCqW5", "not base64!"])
def test_malformed_or_empty_hash_lets_nobody_in(stored: str) -> None:
    """A user imported without a password cannot log in with an empty one."""
    for password in (b"", b"x", stored.encode()):
        assert not password_matches(User("u", stored), password)


@pytest.mark.row("R91")
def test_empty_password_lets_nobody_in_even_who_has_it() -> None:
    """RabbitMQ's internal backend refuses it; MQTT's clients that name no password have said this one."""
    core = Domain().core
    user = core.add_user("blank", "")
    assert core.users.authenticate("blank", b"") is None
    assert user.scram == ()
    assert core.users.authenticate("blank", None) is user


@pytest.mark.row("R5")
def test_authenticate_wants_an_existing_user_and_its_password() -> None:
    users = Domain().core.users
    assert users.authenticate("guest", b"guest") is users.by_name["guest"]
    assert users.authenticate("guest", b"Guest") is None
    assert users.authenticate("nobody", b"guest") is None
    assert users.authenticate("", b"") is None


@pytest.mark.row("R92")
@pytest.mark.parametrize(
    ("pattern", "name", "allowed"),
    [
        (".*", "anything", True),
        ("", "anything", False),
        ("", "", True),
        ("^$", "", True),
        ("^orders$", "orders", True),
        ("^orders$", "orders.eu", False),
        ("orders", "my orders too", True),
        ("^(a|b)-", "b-x", True),
        ("[", "[", False),
    ],
)
def test_pattern_is_searched_in_the_name(pattern: str, name: str, allowed: bool) -> None:
    """Not anchored, unless it says so; an empty pattern is `^$`; a broken one allows nothing."""
    for action in ("configure", "write", "read"):
        patterns = {"configure": "^$", "write": "^$", "read": "^$", action: pattern}
        assert Permission("u", "/", **patterns).allows(action, name) is allowed


@pytest.mark.row("R92")
def test_refusal_names_thing_vhost_and_user() -> None:
    core = Domain().core
    user = core.add_user("limited", "x")
    core.set_permission(Permission("limited", "/", "^mine", "^mine", "^mine"))
    with pytest.raises(BrokerError) as caught:
        core.users.demand(user, "/", "write", "queue", "yours")
    assert caught.value.reason is Reason.ACCESS_REFUSED
    assert caught.value.text == "access to queue 'yours' in vhost '/' refused for user 'limited'"
    with pytest.raises(BrokerError, match=r"access to exchange 'amq\.default' in vhost '/' refused"):
        core.users.demand(user, "/", "write", "exchange", "")
    core.users.demand(user, "/", "write", "queue", "mine.1")


@pytest.mark.row("R20", "R92")
def test_default_exchange_is_called_amq_default_in_patterns() -> None:
    core = Domain().core
    user = core.add_user("limited", "x")
    core.set_permission(Permission("limited", "/", "", r"^amq\.default$", ""))
    core.users.demand(user, "/", "write", "exchange", "")


@pytest.mark.row("R10", "R90")
def test_vhost_must_exist_and_let_the_user_in() -> None:
    domain = Domain()
    domain.core.add_vhost("other")
    guest = domain.core.users.by_name["guest"]
    for vhost, text in (
        ("nope", "vhost nope not found"),
        ("other", "access to vhost 'other' refused for user 'guest'"),
    ):
        with pytest.raises(BrokerError) as caught:
            domain.core.open_session(guest, vhost, Outlet())
        assert (caught.value.reason, caught.value.text) == (Reason.NOT_ALLOWED, text)
    assert not domain.core.sessions


@pytest.mark.row("R90")
def test_vhosts_know_nothing_of_each_other() -> None:
    domain = Domain()
    other = domain.core.add_vhost("other")
    domain.vhost.declare_queue(None, "q")
    assert other.resolve_default(("q",)).queues == ()
    with pytest.raises(BrokerError, match="no queue 'q' in vhost 'other'"):
        other.queue("q")
    assert other.exchange("amq.topic") is not domain.vhost.exchange("amq.topic")


@pytest.mark.row("R92")
def test_changed_permissions_make_sessions_forget_their_routes() -> None:
    """A publisher that lost its right must not go on with what it resolved before."""
    domain = Domain()
    session = domain.session()
    forgotten: list[bool] = []
    session.forget_routes = lambda: forgotten.append(True)
    domain.core.set_permission(Permission("guest", "/", "", "", ""))
    assert forgotten
    with pytest.raises(BrokerError):
        session.route("amq.topic", ("k",))
