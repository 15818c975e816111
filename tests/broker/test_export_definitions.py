"""Definitions as documents: what is exported can be imported, here and by RabbitMQ (R94, R98)."""

from __future__ import annotations

import json
from typing import Any

import pytest
from broker_tools import Domain

from pillarbox.broker.administration import put_global_parameter, put_vhost, remove_user, remove_vhost
from pillarbox.broker.auth import Permission, User
from pillarbox.broker.export_definitions import export_definitions, export_vhost
from pillarbox.broker.import_definitions import DefinitionsError, import_definitions
from pillarbox.broker.policy import Policy
from pillarbox.broker.quotas import USER, VHOST
from pillarbox.broker.topic_permission import TopicPermission
from pillarbox.protocols.amqp091 import wire

pytestmark = pytest.mark.row("R98")

VERSION = "3.13.7"
HASH = "kI3GCqW5JLMJa4iX1lo7X4D6XbYqlLgxIs30+P6tENUV2POR"


class Warned(Domain):
    """A domain that keeps what the operator is told."""

    def __init__(self) -> None:
        super().__init__()
        self.warnings: list[str] = []
        self.core.warn = self.warnings.append


def fill(domain: Domain) -> None:
    """One of everything that is exported, and some that is not."""
    core = domain.core
    other = put_vhost(core, "other é", description="the second one", tags=("a", "b"), protected=True)
    put_global_parameter(core, "colours", {"red": [1, 2]})
    core.quotas.put(VHOST, "other é", {"max-queues": 70})
    core.put_user(User("alice", HASH, tags=("administrator", "monitoring")))
    core.put_user(User("nobody", ""))
    core.quotas.put(USER, "nobody", {"max-connections": 3})
    core.set_permission(Permission("alice", "other é", ".*", "^w", ""))
    core.set_topic_permission(TopicPermission("alice", "other é", "amq.topic", "^a", "^b"))
    for vhost in (domain.vhost, other):
        x = vhost.declare_exchange("x", "topic", durable=True, arguments={"alternate-exchange": "amq.fanout"})
        inner = vhost.declare_exchange("inner", "x-consistent-hash", auto_delete=True, internal=True)
        arguments = {"x-max-priority": wire.Byte(5), "x-any": [1, {"a": None}], "x-bytes": b"b"}
        q = vhost.declare_queue(None, "q", durable=True, arguments=arguments)
        passing = vhost.declare_queue(None, "passing", auto_delete=True)
        mine = vhost.declare_queue(object(), "mine", exclusive=True)
        quorum = {"x-queue-type": "quorum", "x-delivery-limit": 3}
        vhost.declare_queue(None, "sure", durable=True, arguments=quorum)
        for destination in (inner, q, passing, mine):
            vhost.bind(x, destination, "a.#", {"n": 1})
        vhost.bind(vhost.exchange("amq.direct"), q, "k", {})
        vhost.put_policy(Policy(vhost.name, "p", "^q", {"max-length": 5}, 3, "queues"))
        vhost.put_policy(Policy(vhost.name, "o", ".*", {"expires": 60_000}), operator=True)


def names(document: dict[str, Any], section: str) -> list[str]:
    return [item["name"] for item in document[section]]


def test_export_has_everything_but_what_is_the_brokers_or_a_connections_own() -> None:
    domain = Domain()
    fill(domain)
    document = export_definitions(domain.core, VERSION)
    assert document["rabbit_version"] == document["rabbitmq_version"] == VERSION
    assert names(document, "vhosts") == ["/", "other é"]
    assert names(document, "queues") == ["q", "passing", "sure"] * 2
    assert names(document, "exchanges") == ["x", "inner"] * 2
    assert [item["destination"] for item in document["bindings"]] == ["q", "inner", "q", "passing"] * 2
    [user] = [item for item in document["users"] if item["name"] == "alice"]
    assert user == {
        "name": "alice",
        "password_hash": HASH,
        "hashing_algorithm": "rabbit_password_hashing_sha256",
        "tags": ["administrator", "monitoring"],
        "limits": {},
    }
    assert document["queues"][0] == {
        "vhost": "/",
        "name": "q",
        "durable": True,
        "auto_delete": False,
        "type": "classic",
        "arguments": {"x-max-priority": 5, "x-any": [1, {"a": None}], "x-bytes": "b"},
    }
    assert document["bindings"][1] == {
        "vhost": "/",
        "source": "x",
        "destination": "inner",
        "destination_type": "exchange",
        "routing_key": "a.#",
        "arguments": {"n": 1},
    }
    assert document["policies"][0] == {
        "vhost": "/",
        "name": "p",
        "pattern": "^q",
        "apply-to": "queues",
        "definition": {"max-length": 5},
        "priority": 3,
    }
    assert document["parameters"][0]["component"] == "operator_policy"


def test_export_imported_elsewhere_is_the_same_export_also_after_a_restart() -> None:
    domain, other = Domain(), Warned()
    fill(domain)
    document = json.loads(json.dumps(export_definitions(domain.core, VERSION)))
    for _ in range(2):
        import_definitions(other.core, document)
        assert export_definitions(other.core, VERSION) == document
    assert other.warnings == []
    alice = other.core.users.authenticate("alice", b"test12")
    assert alice is not None
    other.tick()
    other.restart()
    again = export_definitions(other.core, VERSION)
    lasting = [item for item in document["queues"] if item["durable"]]
    assert again["queues"] == lasting
    for section in (
        "users",
        "vhosts",
        "permissions",
        "topic_permissions",
        "policies",
        "parameters",
        "global_parameters",
    ):
        assert again[section] == document[section], section


def test_export_of_one_virtual_host_goes_into_any_other() -> None:
    """It has no users and names no virtual host."""
    domain = Domain()
    fill(domain)
    document = json.loads(json.dumps(export_vhost(domain.core, domain.vhost, VERSION)))
    assert "users" not in document
    assert all("vhost" not in item for item in document["queues"])
    third = domain.core.add_vhost("third")
    import_definitions(domain.core, document, vhost="third")
    assert export_vhost(domain.core, third, VERSION) == document


def test_queue_keeps_its_type_whatever_is_usual_in_its_virtual_host() -> None:
    """It may be older than the usual type: as a quorum queue it would be another one, or none."""
    domain, other = Domain(), Domain()
    domain.vhost.declare_queue(None, "old", durable=True, arguments={"x-max-priority": 5})
    domain.vhost.declare_queue(None, "older", durable=True)
    put_vhost(domain.core, "/", default_queue_type="quorum")
    domain.vhost.declare_queue(None, "new", durable=True)
    document = json.loads(json.dumps(export_definitions(domain.core, VERSION)))
    for core in (domain.core, other.core):
        assert import_definitions(core, document) == []
        assert {queue.name: queue.kind for queue in core.vhosts["/"].queues.values()} == {
            "old": "classic",
            "older": "classic",
            "new": "quorum",
        }
        assert export_definitions(core, VERSION)["queues"] == document["queues"]
    untyped = {"queues": [{"vhost": "/", "name": "q", "durable": True, "arguments": {}}]}
    import_definitions(other.core, untyped)
    assert other.vhost.queue("q").kind == "quorum"


def test_import_removes_nothing() -> None:
    domain = Domain()
    fill(domain)
    before = export_definitions(domain.core, VERSION)
    import_definitions(domain.core, {})
    import_definitions(domain.core, {"queues": [{"vhost": "/", "name": "new"}]})
    after = export_definitions(domain.core, VERSION)
    assert [item for item in after["queues"] if item not in before["queues"]] == [
        {
            "vhost": "/",
            "name": "new",
            "durable": True,
            "auto_delete": False,
            "type": "classic",
            "arguments": {},
        }
    ]
    assert all(item in after[section] for section in before if section[-1] == "s" for item in before[section])


@pytest.mark.parametrize(
    ("document", "told"),
    [
        ([1], "the definitions must be a JSON object"),
        ({"queues": {"a": 1}}, "queues must be a list"),
        ({"queues": ["q"]}, "queues[0] must be a JSON object"),
        ({"users": [{"password_hash": ""}]}, "users[0]: 'name' is missing"),
        ({"users": [{"name": "x", "password": 1}]}, "users[0] (x): 'password' must be a text"),
        ({"users": [{"name": "x", "password_hash": 1}]}, "'password_hash' must be a text"),
        ({"users": [{"name": "x", "password_hash": "", "tags": [1]}]}, "tags must be texts, not [1]"),
        ({"queues": [{"name": "q", "vhost": "v"}]}, "queues[0] (q): there is no virtual host 'v'"),
        (
            {"queues": [{"name": "q", "vhost": "/", "durable": "yes"}]},
            "queues[0] (q): 'durable' must be true or false, not 'yes'",
        ),
        (
            {
                "queues": [
                    {"name": "a", "vhost": "/"},
                    {"name": "b", "vhost": "/", "arguments": {"x-expires": 0}},
                ]
            },
            "queues[1] (b): invalid arg 'x-expires' for queue 'b' in vhost '/'",
        ),
        (
            {"exchanges": [{"name": "x", "vhost": "/", "type": "fancy"}]},
            "exchanges[0] (x): unknown exchange type 'fancy'",
        ),
        (
            {"permissions": [{"user": "x", "vhost": "/", "configure": "", "write": "", "read": ""}]},
            "permissions[0] (x): there is no user 'x'",
        ),
        (
            {"permissions": [{"user": "guest", "vhost": "/", "configure": "(", "write": "", "read": ""}]},
            "permissions[0] (guest): 'configure' must be a regular expression, not '('",
        ),
        (
            {"policies": [{"vhost": "/", "name": "p", "pattern": "", "definition": {"nonsense": 1}}]},
            "policies[0] (p): Validation failed",
        ),
        (
            {"users": [{"name": "u", "password_hash": "", "limits": {"max-moons": 1}}]},
            "users[0] (u): ",
        ),
        ({"vhosts": [{"name": "v", "default_queue_type": "fancy"}]}, "unsupported queue type 'fancy'"),
    ],
    ids=str,
)
def test_import_says_which_entry_is_wrong(document: Any, told: str) -> None:
    domain = Domain()
    domain.core.put_user(User("guest", ""))
    with pytest.raises(DefinitionsError) as caught:
        import_definitions(domain.core, document)
    assert told in str(caught.value)


@pytest.mark.parametrize(
    ("document", "told"),
    [
        (
            {"queues": [{"name": "q", "vhost": "/", "auto_delete": True}]},
            "queues[0] (q) is left out: inequivalent arg 'auto_delete' for queue 'q' in vhost '/'",
        ),
        (
            {"exchanges": [{"name": "amq.direct", "vhost": "/", "type": "topic"}]},
            "exchanges[0] (amq.direct) is left out: inequivalent arg 'type'",
        ),
        (
            {
                "bindings": [
                    {
                        "vhost": "/",
                        "source": "amq.direct",
                        "destination": "gone",
                        "destination_type": "queue",
                        "routing_key": "",
                    }
                ]
            },
            "bindings[0] is left out: no queue 'gone' in vhost '/'",
        ),
        (
            {"parameters": [{"vhost": "/", "component": "federation", "name": "s", "value": {}}]},
            "parameters[0] (s) is left out: parameters of the component 'federation' have no effect yet",
        ),
    ],
    ids=str,
)
def test_import_goes_on_without_what_does_not_stand_against_the_rest(
    document: dict[str, Any], told: str
) -> None:
    """As RabbitMQ, which imports its own exports of bindings to exclusive queues; but it says so."""
    domain = Warned()
    domain.vhost.declare_queue(None, "q", durable=True)
    document.setdefault("queues", []).append({"name": "last", "vhost": "/"})
    import_definitions(domain.core, document)
    assert "last" in domain.vhost.queues
    assert [warning for warning in domain.warnings if told in warning] == domain.warnings != []


def test_topic_permissions_go_with_the_user_or_the_virtual_host() -> None:
    """R93: whoever gets the name later starts without them."""
    domain = Domain()
    for name in ("v", "w"):
        put_vhost(domain.core, name)
        domain.core.set_topic_permission(TopicPermission("alice", name, "amq.topic", "", ""))
    domain.core.put_user(User("alice", ""))
    remove_vhost(domain.core, "v")
    assert list(domain.core.users.topics.by_user) == [("alice", "w")]
    remove_user(domain.core, "alice")
    assert not domain.core.users.topics.by_user
    assert not [kind for kind, _ in domain.core.definitions if kind == "topic_permission"]
