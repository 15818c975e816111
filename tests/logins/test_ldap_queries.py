"""Queries in the notation of RabbitMQ's LDAP plugin, without a directory (R8)."""

from __future__ import annotations

from typing import Any

import pytest

from pillarbox.logins.ldap_queries import (
    QueryError,
    Text,
    escaped_value,
    filled_dn,
    parse,
    parse_tags,
    read_term,
)

pytestmark = pytest.mark.row("R8")

VARIABLES = {
    "username": "alice",
    "user_dn": "cn=alice,dc=x",
    "vhost": "v",
    "resource": "queue",
    "name": "q",
    "permission": "read",
}


class Book:
    """A directory that is a few lists."""

    def exists(self, dn: str) -> bool:
        return dn in ("cn=v,dc=x", "cn=alice,dc=x")

    def has_member(self, dn: str, attribute: str, user_dn: str) -> bool:
        return (dn, attribute, user_dn) in (
            ("cn=v-users,dc=x", "member", "cn=alice,dc=x"),
            ("cn=v-users,dc=x", "uniqueMember", "cn=alice,dc=x"),
        )

    def has_member_nested(self, dn: str, attribute: str, user_dn: str) -> bool:
        return dn == "cn=all,dc=x"

    def values(self, dn: str, attribute: str) -> list[str]:
        return ["alice", "^q$"] if (dn, attribute) == ("cn=alice,dc=x", "names") else []


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("{constant, true}", True),
        ("{constant, false}.", False),
        ('{exists, "cn=${vhost},dc=x"}', True),
        ('{exists, "cn=${name},dc=x"}', False),
        ('{exists, "${user_dn}"}', True),
        ('{in_group, "cn=${vhost}-users,dc=x"}', True),
        ('{in_group, "cn=${vhost}-users,dc=x", "uniqueMember"}', True),
        ('{in_group, "cn=${vhost}-users,dc=x", "owner"}', False),
        ('{in_group_nested, "cn=all,dc=x"}', True),
        ("{'not', {constant, true}}", False),
        ("{'and', [{constant, true}, {'not', {constant, false}}]}", True),
        ("{and, [{constant, true}, {constant, false}]}", False),
        ("{'and', []}", True),
        ("{'or', [{constant, false}, {constant, true}]}", True),
        ("{'or', []}", False),
        ("{for, [{permission, configure, {constant, false}}, {permission, read, {constant, true}}]}", True),
        ("{for, [{resource, exchange, {constant, true}}]}", False),
        ('{for, [{username, "alice", {constant, true}}]}', True),
        ('{equals, "${username}", "alice"}', True),
        ('{equals, {string, "${username}"}, {attribute, "${user_dn}", "names"}}', True),
        ('{equals, {attribute, "${user_dn}", "none"}, {string, ""}}', False),
        ('{match, {string, "${name}"}, {string, "^[a-r]$"}}', True),
        ('{match, {string, "${name}"}, {attribute, "${user_dn}", "names"}}', True),
        (' { in_group ,\n "cn=${vhost}-users,dc=x" } ', True),
    ],
)
def test_query_is_answered(text: str, answer: bool) -> None:
    assert parse(text)(VARIABLES, Book()) is answer


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            "{",
            "{constant",
            "{constant, maybe}",
            "{constant, true} x",
            "constant",
            "{}",
            "[]",
            "{nothing}",
        ),
        *(
            "{exists}",
            "{exists, dn}",
            '{exists, "a", "b"}',
            '{in_group, "a" "b"}',
            "{'not', true}",
            "{'or', true}",
        ),
        *(
            "{for, [{permission, read}]}",
            "{for, {permission}}",
            '{equals, {attribute, "a"}, "b"}',
            '{exists, "a}',
        ),
        *("{constant, $}", "}", "{'not', " * 60 + "{constant, true}" + "}" * 60),
    ],
)
def test_what_is_no_query_is_refused(text: str) -> None:
    with pytest.raises(QueryError):
        parse(text)


def test_tags_have_queries() -> None:
    tags = parse_tags('[{administrator, {in_group, "cn=v-users,dc=x"}}, {"monitoring", {constant, false}}]')
    assert {tag: query(VARIABLES, Book()) for tag, query in tags.items()} == {
        "administrator": True,
        "monitoring": False,
    }
    for text in ("{administrator, {constant, true}}", "[administrator]", "[{administrator}]"):
        with pytest.raises(QueryError):
            parse_tags(text)


def test_text_may_hold_what_has_a_meaning() -> None:
    assert read_term(r'{a, "b\"c\\d, {}", []}') == ("a", Text('b"c\\d, {}'), [])


@pytest.mark.parametrize(
    ("value", "escaped"),
    [
        ("alice", "alice"),
        ("a,dc=evil", r"a\,dc\=evil"),
        (" x ", r"\ x\ "),
        ('#"+<>;\\', r"\#\"\+\<\>\;\\"),
        ("", ""),
    ],
)
def test_name_of_a_user_is_one_value_in_the_name_of_an_entry(value: str, escaped: str) -> None:
    assert escaped_value(value) == escaped
    assert filled_dn("cn=${username},dc=x", {"username": value}) == f"cn={escaped},dc=x"


def test_pattern_that_is_no_name_of_an_entry_is_filled_as_it_is() -> None:
    variables: dict[str, Any] = {"username": "a,b"}
    assert filled_dn("${username}@example.com", variables) == "a,b@example.com"
    assert filled_dn("cn=${nothing},dc=x", variables) == "cn=${nothing},dc=x"


def test_user_whose_name_is_an_expression_matches_nothing_more() -> None:
    query = parse('{match, {string, "${name}"}, {string, "^${username}"}}')
    assert not query({**VARIABLES, "username": ".*"}, Book())
    assert query({**VARIABLES, "username": "q"}, Book())
