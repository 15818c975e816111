"""Virtual hosts, users, permissions (R90-R94), with what `definitions.json` says.

user               virtual host  configure  write                     read
guest              all three     .*         .*                        .*
pb-limited         /             ^own-.*    ^(own|write)-.*, default  ^(own|read)-.*
pb-limited         pb-second     (empty)    .*                        .*
pb-sha512          /             ^$         ^$                        .*
pb-nopermission    -             -          -                         -
pb-topics          /             .*         .*                        .*

pb-topics may publish keys that fit ^w\\.{username}\\. on amq.topic, and bind ^r\\.{client_id}.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pika
import pytest
from pika.adapters.blocking_connection import BlockingChannel
from pika_tools import Pika, closes_channel, drain, exists, publish, ready, wait_ready

LIMITED = {"user": "pb-limited", "password": "limited-secret"}


@pytest.fixture
def limited(pika_to: Pika) -> pika.BlockingConnection:
    return pika_to.connect(**LIMITED)


def refused(kind: str, name: str, vhost: str = "/", user: str = "pb-limited") -> str:
    return f"ACCESS_REFUSED - access to {kind} '{name}' in vhost '{vhost}' refused for user '{user}'"


# Virtual hosts --------------------------------------------------------------------------------------


@pytest.mark.row("R90")
def test_virtual_hosts_do_not_see_each_other(pika_to: Pika, name: str) -> None:
    """R90: queues, exchanges and messages of one name in two virtual hosts are two things."""
    here, there = pika_to.channel(), pika_to.channel(vhost="pb-second")
    for channel in (here, there):
        channel.confirm_delivery()
        channel.queue_declare(name, exclusive=True)
        channel.queue_bind(name, "amq.fanout")
    publish(here, "", b"here", exchange="amq.fanout")
    publish(there, name, b"there")
    assert (drain(here, name), drain(there, name)) == ([b"here"], [b"there"])
    here.exchange_declare(name, "direct", auto_delete=True)
    assert not exists(there.connection, exchange=name)


@pytest.mark.row("R90", "R21")
def test_every_virtual_host_has_the_predeclared_exchanges(pika_to: Pika) -> None:
    """R90: also one whose name needs percent-encoding in a URL."""
    channel = pika_to.channel(vhost="pb/third")
    for kind in ("direct", "fanout", "topic", "headers", "match"):
        channel.exchange_declare(f"amq.{kind}", passive=True)


@pytest.mark.row("R90", "404")
def test_texts_name_the_virtual_host(pika_to: Pika, name: str) -> None:
    """R90: the errors' texts carry it."""
    with closes_channel(404, f"NOT_FOUND - no queue '{name}' in vhost 'pb-second'"):
        pika_to.channel(vhost="pb-second").queue_declare(name, passive=True)


@pytest.mark.row("R90", "R10")
def test_virtual_host_without_permission_is_closed(pika_to: Pika) -> None:
    """R90, R92: a user enters only where it has permissions."""
    with pytest.raises(
        pika.exceptions.ProbableAccessDeniedError,
        match="NOT_ALLOWED - access to vhost 'pb/third' refused for user 'pb-limited'",
    ):
        pika_to.connect(vhost="pb/third", **LIMITED)


# Users ----------------------------------------------------------------------------------------------


@pytest.mark.row("R91", "R94")
@pytest.mark.parametrize(
    ("user", "password"),
    [("pb-limited", "limited-secret"), ("pb-sha512", "pässword ☂")],
    ids=["sha256", "sha512"],
)
def test_imported_password_hash_lets_the_user_in(pika_to: Pika, user: str, password: str) -> None:
    """R94: salted SHA-256 and SHA-512 hashes, passwords in UTF-8; R91: tags do not matter for AMQP."""
    assert pika_to.channel(user=user, password=password).is_open


@pytest.mark.row("R94", "403")
@pytest.mark.parametrize("password", ["", "limited-secret ", "LIMITED-SECRET", "limited"])
def test_any_other_password_is_refused(pika_to: Pika, password: str) -> None:
    """R94: nothing but the password itself."""
    with pytest.raises(
        pika.exceptions.ProbableAuthenticationError, match="ACCESS_REFUSED - Login was refused"
    ):
        pika_to.connect(user="pb-limited", password=password)


# Permissions ----------------------------------------------------------------------------------------


@pytest.mark.row("R92")
def test_permitted_operations_pass(limited: pika.BlockingConnection, name: str) -> None:
    """R92: on names that all three patterns cover, everything works."""
    channel = limited.channel()
    own = f"own-{name}"
    channel.confirm_delivery()
    channel.exchange_declare(own, "direct", auto_delete=True)
    channel.queue_declare(own, exclusive=True)
    channel.queue_bind(own, own, "key")
    publish(channel, "key", b"1", b"2", exchange=own)
    publish(channel, own, b"3")
    assert drain(channel, own) == [b"1", b"2", b"3"]
    channel.queue_purge(own)
    channel.queue_unbind(own, own, "key")
    channel.queue_delete(own)


Operation = Callable[[BlockingChannel, str], Any]

# name: (what is tried on a queue or exchange `write-...` or `read-...`, kind, the prefix that is refused)
REFUSED: dict[str, tuple[Operation, str, str]] = {
    "declare a queue (configure)": (lambda c, n: c.queue_declare(f"write-{n}"), "queue", "write"),
    "delete a queue (configure)": (lambda c, n: c.queue_delete(f"read-{n}"), "queue", "read"),
    "declare an exchange (configure)": (lambda c, n: c.exchange_declare(f"read-{n}"), "exchange", "read"),
    "delete an exchange (configure)": (lambda c, n: c.exchange_delete(f"write-{n}"), "exchange", "write"),
    "publish (write)": (lambda c, n: c.basic_publish(f"read-{n}", "k", b"x"), "exchange", "read"),
    "get (read)": (lambda c, n: c.basic_get(f"write-{n}"), "queue", "write"),
    "consume (read)": (lambda c, n: c.basic_consume(f"write-{n}", lambda *_: None), "queue", "write"),
    "purge (read)": (lambda c, n: c.queue_purge(f"write-{n}"), "queue", "write"),
    "bind, write on the queue": (lambda c, n: c.queue_bind(f"read-{n}", f"read-{n}", "k"), "queue", "read"),
    "bind, read on the exchange": (
        lambda c, n: c.queue_bind(f"write-{n}", f"write-{n}", "k"),
        "exchange",
        "write",
    ),
    "unbind, write on the queue": (
        lambda c, n: c.queue_unbind(f"read-{n}", f"read-{n}", "k"),
        "queue",
        "read",
    ),
    "bind exchanges, write on the destination": (
        lambda c, n: c.exchange_bind(f"read-{n}", f"read-{n}", "k"),
        "exchange",
        "read",
    ),
    "bind exchanges, read on the source": (
        lambda c, n: c.exchange_bind(f"write-{n}", f"write-{n}", "k"),
        "exchange",
        "write",
    ),
}


@pytest.mark.row("R92", "403")
@pytest.mark.parametrize("operation", REFUSED)
def test_operation_without_permission_is_refused(
    limited: pika.BlockingConnection, pika_to: Pika, name: str, operation: str
) -> None:
    """R92: configure to declare and delete; write to publish and on what is bound; read for the rest."""
    owner = pika_to.channel()
    for prefix in ("write", "read"):
        owner.queue_declare(f"{prefix}-{name}", exclusive=False, auto_delete=True)
        owner.exchange_declare(f"{prefix}-{name}", "direct")
    action, kind, prefix = REFUSED[operation]
    channel = limited.channel()
    channel.confirm_delivery()
    try:
        with closes_channel(403, refused(kind, f"{prefix}-{name}")):
            action(channel, name)
    finally:
        for prefix in ("write", "read"):
            owner.queue_delete(f"{prefix}-{name}")
            owner.exchange_delete(f"{prefix}-{name}")


@pytest.mark.row("R92", "403")
def test_permission_is_asked_before_existence(limited: pika.BlockingConnection, name: str) -> None:
    """R92: a name without permission is refused, whether it exists or not."""
    with closes_channel(403, refused("queue", f"write-{name}")):
        limited.channel().basic_get(f"write-{name}")


@pytest.mark.row("R92")
def test_passive_declare_needs_no_permission(
    limited: pika.BlockingConnection, pika_to: Pika, name: str
) -> None:
    """R92: asking is free."""
    pika_to.channel().queue_declare(name, auto_delete=True)
    assert limited.channel().queue_declare(name, passive=True).method.queue == name
    pika_to.channel().queue_delete(name)


@pytest.mark.row("R92", "R20")
def test_default_exchange_is_called_amq_default(
    pika_to: Pika, limited: pika.BlockingConnection, name: str
) -> None:
    """R20, R92: pb-limited may write to `amq.default`; pb-sha512 may not, and is told that name."""
    owner = pika_to.channel()
    owner.queue_declare(name, exclusive=True)
    channel = limited.channel()
    channel.confirm_delivery()
    publish(channel, name, b"x")
    wait_ready(owner, name, 1)
    reader = pika_to.channel(user="pb-sha512", password="pässword ☂")
    reader.confirm_delivery()
    with closes_channel(403, refused("exchange", "amq.default", user="pb-sha512")):
        publish(reader, name, b"x")


@pytest.mark.row("R92")
def test_empty_pattern_matches_nothing(pika_to: Pika, name: str) -> None:
    """R92: an empty configure pattern is `^$`: not even own- may be declared; writing is allowed."""
    connection = pika_to.connect(vhost="pb-second", **LIMITED)
    with closes_channel(403, refused("queue", f"own-{name}", "pb-second")):
        connection.channel().queue_declare(f"own-{name}")
    channel = connection.channel()
    channel.confirm_delivery()
    publish(channel, "key", b"x", exchange="amq.topic")


@pytest.mark.row("R92")
def test_server_named_queue_needs_the_permission_for_its_name(limited: pika.BlockingConnection) -> None:
    """R92: amq.gen-... is a name like any other; pb-limited may not configure it."""
    with pytest.raises(pika.exceptions.ChannelClosedByBroker) as caught:
        limited.channel().queue_declare("", exclusive=True)
    assert caught.value.reply_code == 403
    assert caught.value.reply_text.startswith("ACCESS_REFUSED - access to queue 'amq.gen-")


@pytest.mark.row("R92")
@pytest.mark.parametrize(
    ("argument", "kind"), [("x-dead-letter-exchange", "queue"), ("alternate-exchange", "exchange")]
)
def test_dead_letter_and_alternate_exchange_need_permissions_too(
    limited: pika.BlockingConnection, name: str, argument: str, kind: str
) -> None:
    """R92: declaring with them needs read on what is declared and write on the target."""
    channel = limited.channel()
    with closes_channel(403, refused("exchange", f"read-{name}")):
        arguments = {argument: f"read-{name}"}
        if kind == "queue":
            channel.queue_declare(f"own-{name}", exclusive=True, arguments=arguments)
        else:
            channel.exchange_declare(f"own-{name}", "direct", auto_delete=True, arguments=arguments)
    arguments = {argument: f"write-{name}"}
    channel = limited.channel()
    if kind == "queue":
        channel.queue_declare(f"own-{name}", exclusive=True, arguments=arguments)
        assert ready(channel, f"own-{name}") == 0
    else:
        channel.exchange_declare(f"own-{name}", "direct", arguments=arguments)
        channel.exchange_delete(f"own-{name}")


# Topic permissions ----------------------------------------------------------------------------------

TOPICS = {"user": "pb-topics", "password": "topics-secret"}


def withheld(key: str) -> str:
    where = "exchange 'amq.topic' in vhost '/'"
    return f"ACCESS_REFUSED - access to topic '{key}' in {where} refused for user 'pb-topics'"


@pytest.mark.row("R93", "403")
def test_topic_permission_withholds_keys_from_publishers(pika_to: Pika, name: str) -> None:
    """R93: keys that fit `write` arrive, others close the channel, also after many that did."""
    owner = pika_to.channel()
    owner.queue_declare(name, exclusive=True)
    owner.queue_bind(name, "amq.topic", f"w.*.{name}")
    channel = pika_to.channel(**TOPICS)
    channel.confirm_delivery()
    for _ in range(3):
        publish(channel, f"w.pb-topics.{name}", b"x", exchange="amq.topic")
    with closes_channel(403, withheld(f"w.other.{name}")):
        publish(channel, f"w.other.{name}", b"x", exchange="amq.topic")
    assert drain(owner, name) == [b"x"] * 3


@pytest.mark.row("R93", "403")
def test_topic_permission_withholds_keys_from_bindings(pika_to: Pika, name: str) -> None:
    """R93: binding and unbinding need `read`; a variable that nobody sets stands for itself."""
    connection = pika_to.connect(**TOPICS)
    channel = connection.channel()
    channel.queue_declare(name, exclusive=True)
    channel.queue_bind(name, "amq.topic", "r.{client_id}.x")
    with closes_channel(403, withheld("r.x")):
        channel.queue_bind(name, "amq.topic", "r.x")
    with closes_channel(403, withheld("#")):
        connection.channel().queue_unbind(name, "amq.topic", "#")


@pytest.mark.row("R93")
def test_topic_permission_counts_on_its_exchange_and_on_topic_exchanges_only(
    pika_to: Pika, name: str
) -> None:
    """R93: another topic exchange is free, and so is every other type of exchange."""
    channel = pika_to.channel(**TOPICS)
    channel.confirm_delivery()
    channel.exchange_declare(name, "topic", auto_delete=True)
    channel.queue_declare(name, exclusive=True)
    for exchange in (name, "amq.direct"):
        channel.queue_bind(name, exchange, "anything")
        publish(channel, "anything", b"x", exchange=exchange)
    assert drain(channel, name) == [b"x", b"x"]
