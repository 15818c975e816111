"""Definitions on their way through a real RabbitMQ: ours → theirs → ours are the same (R94, R98).

Both programs run as processes; log-in is tried on RabbitMQ with what was imported there.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pika
import pika.exceptions
import pytest

from bench.peers import HOST, RabbitMQ
from pillarbox import Broker
from pillarbox.broker.administration import put_global_parameter, put_vhost
from pillarbox.broker.auth import Permission, User
from pillarbox.broker.core import Core
from pillarbox.broker.export_definitions import export_definitions
from pillarbox.broker.import_definitions import import_definitions
from pillarbox.broker.policy import Policy
from pillarbox.broker.quotas import USER, VHOST
from pillarbox.broker.topic_permission import TopicPermission

pytestmark = [
    pytest.mark.row("R94", "R98"),
    pytest.mark.skipif(bool(RabbitMQ.missing()), reason=f"no RabbitMQ to go through: {RabbitMQ.missing()}"),
]

SHA512 = "AP8QgGmc9M5vbT8I1mNAd3nz0AjjUZVaXnmwmEwLGmbPZ0xY4IbHtvRtpn5zTnwCwwW5Vd9k4NERqgUMmmY01Q2XzmU="


def fill(core: Core) -> None:
    put_vhost(core, "shop", description="where things are sold", tags=("a", "b"))
    core.quotas.put(VHOST, "shop", {"max-connections": 70})
    put_global_parameter(core, "colour", "blue")
    core.add_user("alice", "pässword ☂", ("administrator", "monitoring"))
    core.put_user(User("bob", SHA512, "rabbit_password_hashing_sha512"))
    core.put_user(User("nobody", ""))
    core.quotas.put(USER, "nobody", {"max-channels": 3})
    for vhost in ("/", "shop"):
        core.set_permission(Permission("alice", vhost, ".*", ".*", ".*"))
    core.set_permission(Permission("bob", "shop", "", "^w-", ".*"))
    core.set_topic_permission(TopicPermission("bob", "shop", "amq.topic", "^{username}", ""))
    vhost = core.vhosts["shop"]
    inner = vhost.declare_exchange("inner é", "headers", durable=True, auto_delete=True, internal=False)
    outer = vhost.declare_exchange(
        "outer", "topic", durable=True, arguments={"alternate-exchange": "inner é"}
    )
    limits = {
        "x-max-length": 5,
        "x-message-ttl": 1000,
        "x-overflow": "reject-publish",
        "x-any": [1, {"a": True}],
    }
    plain = vhost.declare_queue(None, "plain", durable=True, arguments=limits)
    sure = vhost.declare_queue(None, "sure", durable=True, arguments={"x-queue-type": "quorum"})
    passing = vhost.declare_queue(None, "passing", auto_delete=True)
    vhost.bind(outer, inner, "a.#", {})
    vhost.bind(inner, plain, "", {"x-match": "any", "n": 1, "s": "é"})
    for queue in (plain, sure, passing):
        vhost.bind(outer, queue, f"{queue.name}.*", {})
    vhost.put_policy(
        Policy("shop", "p", "^plain", {"max-length": 7, "dead-letter-exchange": "x"}, 3, "queues")
    )
    vhost.put_policy(Policy("shop", "o", ".*", {"expires": 3_600_000}, 0, "queues"), operator=True)


def without_verifiers(document: dict[str, Any]) -> dict[str, Any]:
    """What RabbitMQ keeps of a document: it does not know the key `scram` of users, and minds it not."""
    assert any("scram" in user for user in document["users"])
    users = [{key: user[key] for key in user if key != "scram"} for user in document["users"]]
    return {**document, "users": users}


def ordered(document: dict[str, Any]) -> dict[str, Any]:
    """The sections whose order says nothing, in one order."""
    return {
        section: sorted(items, key=lambda item: json.dumps(item, sort_keys=True))
        for section, items in document.items()
        if isinstance(items, list)
    }


def logs_in(port: int, user: str, password: str) -> bool:
    parameters = pika.ConnectionParameters(HOST, port, "shop", pika.PlainCredentials(user, password))
    try:
        pika.BlockingConnection(parameters).close()
    except pika.exceptions.ProbableAuthenticationError:
        return False
    return True


def test_definitions_survive_the_way_through_rabbitmq(tmp_path: Path) -> None:
    with Broker() as ours:
        ours.call(lambda server: fill(server.core))
        document = ours.call(lambda server: export_definitions(server.core, "3.10.8"))
    with RabbitMQ() as theirs:
        # The node may run as a user that cannot read our folders.
        to_them, from_them = theirs.data / "to.json", theirs.data / "from.json"
        to_them.write_text(json.dumps(document))
        theirs.ctl("import_definitions", str(to_them))
        assert logs_in(theirs.amqp_port, "alice", "pässword ☂")
        assert not logs_in(theirs.amqp_port, "alice", "other")
        theirs.ctl("export_definitions", str(from_them))
        came_back = json.loads(from_them.read_text())
    with Broker() as again:
        told: list[str] = []

        def take(server: Any) -> dict[str, Any]:
            server.core.warn = told.append
            import_definitions(server.core, came_back)
            return export_definitions(server.core, "3.10.8")

        assert ordered(again.call(take)) == ordered(without_verifiers(document))
        assert told == []
        assert logs_in(again.call(lambda server: server.amqp_port), "alice", "pässword ☂")
        assert logs_in(again.call(lambda server: server.amqp_port), "bob", "pässword ☂")
        assert not logs_in(again.call(lambda server: server.amqp_port), "alice", "other")
