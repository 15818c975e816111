"""Scopes of tokens as permissions (R8): RabbitMQ's grammar and its wildcards."""

from __future__ import annotations

import pytest
from broker_tools import Domain, Outlet

from pillarbox.broker.bearer import Bearer, Scope, scopes_of, tags_of
from pillarbox.errors import BrokerError, Reason

pytestmark = pytest.mark.row("R8")

NEVER_MS = 1 << 60


def bearer(*words: str) -> Bearer:
    return Bearer("robot", tags_of(words), scopes_of(words), NEVER_MS)


def test_words_that_are_no_rights_give_none() -> None:
    words = ("openid", "read:", "read:v", "read:a/b/c/d", "delete:*/*", "read", "tag:x", "READ:*/*")
    assert scopes_of(words) == ()
    assert scopes_of(["read:v/q", "write:v/x/k"]) == (
        Scope("read", "v", "q", "*"),
        Scope("write", "v", "x", "k"),
    )
    assert tags_of([*words, "tag:administrator", "tag:x"]) == ("x", "administrator")


@pytest.mark.parametrize(
    ("scope", "allowed", "refused"),
    [
        ("read:*/*", ["q", "", "a.b", "line\nbreak"], []),
        ("read:*/q", ["q"], ["", "qq", "Q"]),
        ("read:*/q*", ["q", "q1"], ["1q"]),
        ("read:*/*q", ["q", "1q", "qq"], ["q1"]),
        ("read:*/a*b*c", ["abc", "a1b2c", "abbc"], ["ab", "cab"]),
        ("read:*/a.c", ["a.c"], ["abc"]),
        ("read:*/a%2Fb+c", ["a/b c"], ["a%2Fb+c"]),
        ("read:*/%2A", ["*"], ["x"]),
        ("read:*/{vhost}-*", ["v-1"], ["w-1", "{vhost}-1"]),
        ("read:v/q", ["q"], []),
        ("read:w/q", [], ["q"]),
        ("read:%76/q", ["q"], []),
        ("write:*/*", [], ["q"]),
    ],
)
def test_name_fits_a_scope(scope: str, allowed: list[str], refused: list[str]) -> None:
    who = bearer(scope)
    assert [name for name in allowed + refused if who.allows("v", "read", name)] == allowed


def test_name_of_the_virtual_host_counts_literally() -> None:
    """A virtual host that calls itself `*` opens no other."""
    who = bearer("read:{vhost}/q", "write:*/{vhost}")
    assert who.may_enter("*")
    assert who.allows("*", "write", "*")
    assert not who.allows("*", "write", "x")


def test_any_right_in_a_virtual_host_opens_it() -> None:
    who = bearer("configure:a*/none", "tag:administrator")
    assert who.may_enter("abc")
    assert not who.may_enter("b")
    assert not bearer("tag:administrator").may_enter("/")


def test_session_of_a_bearer_may_what_its_scopes_say() -> None:
    domain = Domain()
    core, vhost = domain.core, domain.vhost.name
    scopes = (f"configure:{vhost.replace('/', '%2F')}/own-*", "write:*/amq.topic/a.*", "read:*/own-*")
    session = core.open_session(bearer(*scopes), vhost, Outlet())
    session.declare_queue("own-1")
    with pytest.raises(BrokerError, match="access to queue 'other' in vhost '/' refused for user 'robot'"):
        session.declare_queue("other")
    session.route("amq.topic", ("a.b",))
    with pytest.raises(BrokerError) as refused:
        session.route("amq.topic", ("b.b",))
    assert refused.value.reason is Reason.ACCESS_REFUSED
    assert refused.value.text == (
        "access to topic 'b.b' in exchange 'amq.topic' in vhost '/' refused for user 'robot'"
    )


def test_session_goes_on_with_other_rights_where_they_lead_there() -> None:
    domain = Domain()
    session = domain.core.open_session(bearer("configure:*/*"), domain.vhost.name, Outlet())
    forgotten: list[str] = []
    session.forget_routes = lambda: forgotten.append("routes")
    session.renew(bearer("read:*/*"))
    assert forgotten == ["routes"]
    with pytest.raises(BrokerError, match="access to queue 'q'"):
        session.declare_queue("q")
    with pytest.raises(BrokerError, match="access to vhost '/' refused for user 'robot'"):
        session.renew(bearer("read:elsewhere/*"))
    assert session.user.name == "robot"
