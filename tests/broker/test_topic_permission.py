"""Topic permissions: what patterns and variables mean, and when a change counts (R93)."""

from __future__ import annotations

import pytest
from broker_tools import Domain, Outlet
from hypothesis import given
from hypothesis import strategies as st

from pillarbox.broker.auth import Permission
from pillarbox.broker.session import Session
from pillarbox.broker.topic_permission import TopicPermission
from pillarbox.errors import BrokerError, Reason

pytestmark = pytest.mark.row("R93")


def permission(write: str, read: str = ".*", exchange: str = "amq.topic") -> TopicPermission:
    return TopicPermission("alice", "/", exchange, write, read)


def log_in(domain: Domain) -> Session:
    core = domain.core
    alice = core.users.by_name.get("alice") or core.add_user("alice", "secret")
    core.set_permission(Permission("alice", "/", ".*", ".*", ".*"))
    return core.open_session(alice, "/", Outlet())


def refusal(session: Session, *keys: str, exchange: str = "amq.topic") -> str | None:
    try:
        session.route(exchange, keys)
    except BrokerError as error:
        return error.text if error.reason is Reason.ACCESS_REFUSED else repr(error)
    return None


@given(st.text(min_size=1))
def test_variable_counts_literally_whatever_a_client_calls_itself(name: str) -> None:
    """A client with the id `.*` gets the rights of `.*` and not those of all."""
    rule = permission("^{client_id}$")
    assert rule.allows("write", name, {"client_id": name})
    assert not rule.allows("write", name + "x", {"client_id": name})


def test_pattern_that_is_no_regular_expression_allows_nothing() -> None:
    assert not permission("(").allows("write", "(", {})


def test_every_key_of_a_message_is_looked_at() -> None:
    """CC and BCC are keys like the first one, as from RabbitMQ 3.13 on."""
    domain = Domain()
    session = log_in(domain)
    domain.core.set_topic_permission(permission("^a"))
    assert refusal(session, "a", "ab") is None
    where = "exchange 'amq.topic' in vhost '/'"
    assert refusal(session, "a", "b") == f"access to topic 'b' in {where} refused for user 'alice'"


def test_change_lets_routes_be_resolved_anew() -> None:
    domain = Domain()
    session = log_in(domain)
    forgotten: list[None] = []
    session.forget_routes = lambda: forgotten.append(None)
    domain.core.set_topic_permission(permission("^a"))
    domain.core.clear_topic_permission("alice", "/", "amq.topic")
    assert len(forgotten) == 2
    assert refusal(session, "b") is None


def test_variables_of_the_session_are_put_in() -> None:
    domain = Domain()
    session = log_in(domain)
    domain.core.set_topic_permission(permission("^{vhost}{username}-{client_id}$"))
    session.client_id = "c1"
    assert refusal(session, "/alice-c1") is None
    assert refusal(session, "/alice-c2") is not None


def test_topic_permissions_come_back_after_a_restart_unless_they_were_lifted() -> None:
    domain = Domain()
    log_in(domain)
    for exchange in ("amq.topic", "x", "y"):
        domain.core.set_topic_permission(permission("^a", exchange=exchange))
    domain.core.clear_topic_permission("alice", "/", "x")
    domain.tick()
    domain.restart()
    assert set(domain.core.users.topics.by_user["alice", "/"]) == {"amq.topic", "y"}
    session = log_in(domain)
    assert refusal(session, "b") is not None
    domain.core.clear_topic_permission("alice", "/")
    assert refusal(session, "b") is None
    domain.tick()
    domain.restart()
    assert not domain.core.users.topics.by_user
