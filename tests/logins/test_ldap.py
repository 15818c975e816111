"""Clients whom an LDAP directory lets in (R8): unmodified, over sockets, against OpenLDAP."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pika
import pytest
from pika.exceptions import (
    ChannelClosedByBroker,
    ProbableAccessDeniedError,
    ProbableAuthenticationError,
)

from pillarbox import Broker
from pillarbox.broker.outside import Entry, Person, Sealed
from pillarbox.config import Config, ConfigError
from pillarbox.errors import StartupError
from pillarbox.logins.asker import BackendError
from pillarbox.logins.backends import BACKENDS
from tests.logins.directory import (
    GROUPS,
    PEOPLE,
    READER,
    READERS_PASSWORD,
    SUFFIX,
    Slapd,
    skip_without_slapd,
)

pytestmark = pytest.mark.row("R8")

pytest.importorskip("ldap3")

Start = Callable[..., Broker]


@pytest.fixture(scope="module")
def slapd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slapd]:
    skip_without_slapd()
    with Slapd(tmp_path_factory.mktemp("slapd")) as running:
        yield running


@pytest.fixture
def start(slapd: Slapd) -> Iterator[Start]:
    """Start brokers that ask the directory."""
    with ExitStack() as stack:

        def make(**options: Any) -> Broker:
            settings = {
                "auth_backends": ("ldap",),
                "auth_ldap_servers": ("127.0.0.1",),
                "auth_ldap_port": slapd.port,
                "auth_ldap_user_dn_pattern": f"cn=${{username}},{PEOPLE}",
                **options,
            }
            return stack.enter_context(Broker(**settings))

        yield make


def connect(broker: Broker, user: str, password: str | None = None) -> Any:
    credentials = pika.PlainCredentials(user, f"{user}'s" if password is None else password)
    return pika.BlockingConnection(
        pika.ConnectionParameters("127.0.0.1", broker.amqp_port, "/", credentials, heartbeat=0)
    )


def refuses(broker: Broker, user: str, password: str | None = None) -> bool:
    try:
        connect(broker, user, password).close()
    except ProbableAuthenticationError:
        return True
    return False


def tags(broker: Broker) -> list[tuple[str, ...]]:
    found: list[tuple[str, ...]] = broker.call(lambda server: [one.user.tags for one in server.core.sessions])
    return found


def group(name: str) -> str:
    return f'{{in_group, "cn={name},{GROUPS}"}}'


def test_user_logs_in_by_a_bind_with_the_password(start: Start) -> None:
    broker = start()
    channel = connect(broker, "alice").channel()
    channel.queue_declare("q")
    assert tags(broker) == [()]
    assert refuses(broker, "alice", "wrong")
    assert refuses(broker, "alice", "")
    assert refuses(broker, "nobody")
    assert refuses(broker, "alice,ou=people")
    assert refuses(broker, "*")


@pytest.mark.parametrize("name", ["", " "])
@pytest.mark.parametrize(
    "lookup",
    [
        {},
        {"auth_ldap_dn_lookup_attribute": "cn", "auth_ldap_dn_lookup_base": PEOPLE},
        {
            "auth_ldap_dn_lookup_attribute": "cn",
            "auth_ldap_dn_lookup_base": PEOPLE,
            "auth_ldap_dn_lookup_bind": READER,
            "auth_ldap_dn_lookup_bind_password": READERS_PASSWORD,
        },
    ],
    ids=["pattern", "lookup after", "lookup before"],
)
def test_login_without_a_name_is_refused_since_its_bind_is_nobodys(
    start: Start, name: str, lookup: dict[str, str]
) -> None:
    """RFC 4513, 5.1: a bind with an empty name succeeds, whatever its password is."""
    broker = start(auth_ldap_user_dn_pattern="${username}", **lookup)
    assert refuses(broker, name, "anything")


def test_tags_are_what_queries_say(start: Start) -> None:
    broker = start(
        auth_ldap_tag_queries=f"[{{administrator, {group('admins')}}}, {{management, {{constant, true}}}}]"
    )
    alice = connect(broker, "alice")
    assert tags(broker) == [("administrator", "management")]
    alice.close()
    connect(broker, "bob")
    assert tags(broker) == [("management",)]


def test_queries_say_who_may_enter_and_do_what(start: Start) -> None:
    broker = start(
        auth_ldap_vhost_access_query=group("users"),
        auth_ldap_resource_access_query=(
            f"{{for, [{{permission, configure, {group('admins')}}}, "
            "{permission, read, {constant, true}}, "
            '{permission, write, {equals, "${name}", "amq.topic"}}]}'
        ),
        auth_ldap_topic_access_query='{match, "${routing_key}", "^open"}',
    )
    channel = connect(broker, "alice").channel()
    channel.queue_declare("q", durable=True)
    channel.confirm_delivery()
    channel.basic_publish("amq.topic", "open.a", b"x")
    with pytest.raises(ChannelClosedByBroker) as refused:
        channel.basic_publish("amq.topic", "secret", b"x")
    text = "access to topic 'secret' in exchange 'amq.topic' in vhost '/' refused for user 'alice'"
    assert refused.value.reply_text == f"ACCESS_REFUSED - {text}"
    bob = connect(broker, "bob")
    assert bob.channel().basic_get("q") == (None, None, None)
    with pytest.raises(ChannelClosedByBroker) as refused:
        bob.channel().queue_declare("other", durable=True)
    assert refused.value.reply_text == (
        "ACCESS_REFUSED - access to queue 'other' in vhost '/' refused for user 'bob'"
    )


def test_virtual_host_whose_query_says_no_is_not_entered(start: Start) -> None:
    broker = start(auth_ldap_vhost_access_query=group("admins"))
    assert connect(broker, "alice").is_open
    with pytest.raises(ProbableAccessDeniedError, match="access to vhost '/' refused for user 'bob'\""):
        connect(broker, "bob")


def test_group_of_groups_is_looked_through(start: Start) -> None:
    broker = start(
        auth_ldap_vhost_access_query=f'{{in_group_nested, "cn=all,{GROUPS}"}}',
        auth_ldap_group_lookup_base=GROUPS,
        auth_ldap_tag_queries=f"[{{monitoring, {group('all')}}}]",
    )
    assert connect(broker, "alice").is_open
    assert tags(broker) == [()]


@pytest.mark.parametrize(
    "bind",
    [
        {"auth_ldap_dn_lookup_bind": READER, "auth_ldap_dn_lookup_bind_password": READERS_PASSWORD},
        {"auth_ldap_user_bind_pattern": f"cn=${{username}},{PEOPLE}"},
    ],
    ids=["before", "after"],
)
def test_entry_of_a_user_is_looked_up(bind: dict[str, str], start: Start) -> None:
    """Before the user's bind as somebody else, or after it as the user."""
    before = "auth_ldap_dn_lookup_bind" in bind
    broker = start(
        auth_ldap_user_dn_pattern="${username}",
        auth_ldap_dn_lookup_attribute="uid" if before else "cn",
        auth_ldap_dn_lookup_base=SUFFIX,
        auth_ldap_vhost_access_query=group("users"),
        **bind,
    )
    user = "alice.uid" if before else "alice"
    assert connect(broker, user, "alice's").is_open
    assert refuses(broker, user, "wrong")
    assert refuses(broker, "*", "alice's")


def test_queries_look_as_somebody_else(start: Start) -> None:
    reader = {"auth_ldap_other_bind": READER, "auth_ldap_vhost_access_query": group("users")}
    broker = start(**reader, auth_ldap_other_bind_password=READERS_PASSWORD)
    assert connect(broker, "alice").is_open
    broker = start(**reader, auth_ldap_other_bind_password="wrong")
    assert refuses(broker, "alice")
    broker = start(auth_ldap_other_bind="anon", auth_ldap_vhost_access_query=group("users"))
    with pytest.raises(ProbableAccessDeniedError):
        connect(broker, "alice")


@pytest.mark.parametrize("way", ["ssl", "starttls"])
def test_directory_is_asked_over_tls(way: str, slapd: Slapd, start: Start) -> None:
    ways: dict[str, dict[str, Any]] = {
        "ssl": {"auth_ldap_use_ssl": True, "auth_ldap_port": slapd.tls_port},
        "starttls": {"auth_ldap_use_starttls": True},
    }
    options = ways[way]
    broker = start(**options, auth_ldap_tls_authorities=str(slapd.certificate))
    assert connect(broker, "alice").is_open
    assert refuses(broker, "alice", "wrong")
    broker = start(**options)  # The system does not know this authority.
    assert refuses(broker, "alice")


def test_directory_that_is_down_lets_nobody_in(
    tmp_path: Path, start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    with Slapd(tmp_path) as own:
        broker = start(auth_ldap_port=own.port, auth_ldap_resource_access_query=group("users"))
        channel = connect(broker, "alice").channel()
        own.stop()
        assert refuses(broker, "bob")
        with pytest.raises(ChannelClosedByBroker, match="rabbit_auth_backend_ldap returned an error: ldap_"):
            channel.queue_declare("q")
    assert "auth backend 'ldap' fails" in caplog.text


def test_next_server_is_asked_when_one_is_down(slapd: Slapd, start: Start) -> None:
    """127.0.0.2 is this machine, too, and slapd does not listen there."""
    broker = start(auth_ldap_servers=("127.0.0.2", "127.0.0.1"))
    assert connect(broker, "alice").is_open


def test_cache_and_directory_and_permissions_of_the_broker(start: Start) -> None:
    broker = start(auth_backends=("cache",), auth_cache_cached_backend="ldap")
    for _ in range(2):
        assert connect(broker, "alice").is_open
    broker = start(auth_backends=("ldap:internal", "internal"))
    assert refuses(broker, "alice")
    assert connect(broker, "guest", "guest").is_open


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"auth_ldap_servers": ()}, 'auth_backends "ldap" needs auth_ldap_servers'),
        ({"auth_ldap_use_ssl": True, "auth_ldap_use_starttls": True}, "exclude each other"),
    ],
)
def test_configuration_that_cannot_be_is_refused(options: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        Config(**{"auth_backends": ("ldap",), "auth_ldap_servers": ("x",), **options})


def test_query_that_is_none_is_refused_at_the_start() -> None:
    options = {"auth_backends": ("ldap",), "auth_ldap_servers": ("x",)}
    with pytest.raises(StartupError, match='auth_ldap_vhost_access_query: "nonsense" is no query'):
        Broker(**options, auth_ldap_vhost_access_query="{nonsense}").__enter__()


def test_password_that_no_bind_can_have_is_not_shown() -> None:
    """The broker's own backend takes any bytes, as they were hashed (`internal:ldap`)."""
    backend = BACKENDS["ldap"](Config(auth_backends=("internal:ldap",), auth_ldap_servers=("x",)))
    question = Entry("ldap", Person("alice", (), "", Sealed(b"s3cr\xe8t")), "/", "")
    with pytest.raises(BackendError, match="no password of 'alice' to bind with") as caught:
        backend.bind_for(None, question)  # type: ignore[attr-defined]
    assert caught.value.__context__ is None
