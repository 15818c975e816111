"""Definitions as they are kept: what comes back after a restart is what was declared.

Rows R23, R31, R40, R94.
"""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from broker_tools import Domain
from hypothesis import given
from hypothesis import strategies as st

from pillarbox.broker import definitions as kept
from pillarbox.broker.auth import Permission, User, hash_password
from pillarbox.broker.import_definitions import DefinitionsError, import_definitions
from pillarbox.broker.index import Envelope
from pillarbox.protocols.amqp091 import wire

TEXTS = st.text(st.characters(codec="utf-8"), max_size=20)
SCALARS: st.SearchStrategy[Any] = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False)
    | TEXTS
    | st.binary(max_size=20)
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3)
)
TABLES = st.dictionaries(TEXTS, VALUES, max_size=4)
DEFINITIONS = st.one_of(
    st.builds(kept.VhostDefinition, TEXTS, TEXTS, st.lists(TEXTS, max_size=2).map(tuple)),
    st.builds(User, TEXTS, TEXTS, TEXTS, st.lists(TEXTS, max_size=2).map(tuple)),
    st.builds(Permission, TEXTS, TEXTS, TEXTS, TEXTS, TEXTS),
    st.builds(kept.ExchangeDefinition, TEXTS, TEXTS, TEXTS, st.booleans(), st.booleans(), TABLES),
    st.builds(kept.QueueDefinition, TEXTS, TEXTS, st.booleans(), TABLES),
    st.builds(kept.BindingDefinition, TEXTS, TEXTS, TEXTS, st.booleans(), TEXTS, TABLES),
)
KIND_OF = {shape: kind for kind, shape in kept.KINDS.items()}

# Every field type that a client may put into a table, as a head hands it over.
TYPED = {
    "bool": True,
    "byte": wire.Byte(-5),
    "unsignedbyte": wire.UnsignedByte(200),
    "short": wire.Short(1000),
    "unsignedshort": wire.UnsignedShort(60_000),
    "signedint": 100_000,
    "unsignedint": wire.UnsignedInt(3_000_000_000),
    "long": wire.Long(7),
    "timestamp": wire.Timestamp(1_700_000_000),
    "float": wire.Float(0.5),
    "double": 0.1,
    "decimal": wire.Decimal(2, 314),
    "longstr": "é",
    "longstr that is no UTF-8": wire.LongString(b"\xff"),
    "binary": b"\x00\xff",
    "void": None,
    "array": [wire.Byte(1), {"a": wire.Short(2)}],
    "table": {"a": wire.Byte(1)},
}


@given(DEFINITIONS)
def test_definition_comes_back_as_it_was(definition: msgspec.Struct) -> None:
    kind = KIND_OF[type(definition)]
    assert kept.decode(kind, kept.encode(definition)) == definition


def test_unknown_kind_is_an_error() -> None:
    """A definition of a newer version must not vanish silently."""
    with pytest.raises(KeyError):
        kept.decode("policy of the future", b"\x80")


@pytest.mark.parametrize("parts", [("a", "b"), ('a"', '","b'), ("", ""), ("\x00", "\n")])
def test_keys_of_different_names_differ(parts: tuple[str, str]) -> None:
    assert kept.key_of(*parts) != kept.key_of("".join(parts))
    assert kept.key_of(*parts) != kept.key_of(parts[1] + "x", parts[0])


# --- through a restart ------------------------------------------------------------------------------------


@pytest.mark.row("R40")
@pytest.mark.parametrize("kind", sorted(TYPED))
def test_durable_things_may_have_arguments_of_any_field_type(kind: str) -> None:
    """aio-pika writes 1000 as a short, pika as a signed integer: both are a time to live."""
    domain = Domain()
    arguments = {"x-anything": TYPED[kind]}
    queue = domain.vhost.declare_queue(None, "q", durable=True, arguments=arguments)
    source = domain.vhost.declare_exchange("x", "headers", durable=True, arguments=arguments)
    domain.vhost.bind(source, queue, "", arguments)
    domain.tick()
    domain.restart()
    vhost = domain.vhost
    assert vhost.declare_queue(None, "q", durable=True, arguments=arguments) is vhost.queues["q"]
    assert vhost.declare_exchange("x", "headers", durable=True, arguments=arguments) is vhost.exchanges["x"]
    if kind in ("decimal", "longstr that is no UTF-8"):
        return  # Their own types are not kept: they come back as an array and as binary.
    assert vhost.queues["q"].arguments == arguments


@pytest.mark.row("R31")
@pytest.mark.parametrize("kind", sorted(TYPED))
def test_binding_with_arguments_of_any_type_is_the_same_after_a_restart(kind: str) -> None:
    """It can be declared again without becoming two, and unbound for good."""
    domain = Domain()
    arguments = {"n": TYPED[kind]}
    queue = domain.vhost.declare_queue(None, "q", durable=True)
    domain.vhost.bind(domain.vhost.exchange("amq.headers"), queue, "", arguments)
    domain.tick()
    domain.restart()
    source, queue = domain.vhost.exchange("amq.headers"), domain.vhost.queues["q"]
    domain.vhost.bind(source, queue, "", arguments)
    assert len(source.bindings) == 1
    domain.vhost.unbind(source, queue, "", arguments)
    assert not source.bindings
    domain.tick()
    domain.restart()
    assert not domain.vhost.exchange("amq.headers").bindings


@pytest.mark.row("R22")
@pytest.mark.parametrize("kind", sorted(set(TYPED) - {"decimal", "longstr that is no UTF-8"}))
def test_headers_binding_routes_the_same_after_a_restart(kind: str) -> None:
    domain = Domain()
    queue = domain.vhost.declare_queue(None, "q", durable=True)
    domain.vhost.bind(domain.vhost.exchange("amq.headers"), queue, "", {"n": TYPED[kind]})
    for _ in range(2):
        route = domain.vhost.exchange("amq.headers").resolve(("",), Envelope({"n": TYPED[kind]}))
        assert [found.name for found in route.queues] == ["q"]
        domain.tick()
        domain.restart()


def describe(domain: Domain) -> dict[str, Any]:
    """Everything durable, by value."""
    core = domain.core
    return {
        "users": dict(core.users.by_name),
        "permissions": dict(core.users.permissions),
        "definitions": dict(core.definitions),
        "vhosts": {
            name: {
                "exchanges": {
                    (one.name, one.kind, one.auto_delete, one.internal, repr(one.arguments))
                    for one in vhost.exchanges.values()
                    if one.durable
                },
                "queues": {
                    (one.name, one.uid, one.auto_delete, repr(one.arguments), one.ttl_ms, one.expires_ms)
                    for one in vhost.queues.values()
                    if one.durable and one.owner is None
                },
                "bindings": {
                    (binding.source.name, binding.destination.name, binding.key, repr(binding.arguments))
                    for bindings in vhost.inbound.values()
                    for binding in bindings
                    if binding.source.durable
                    and binding.destination.durable
                    and getattr(binding.destination, "owner", None) is None
                },
            }
            for name, vhost in core.vhosts.items()
        },
    }


def fill(domain: Domain) -> None:
    """One of everything that lasts, and one of everything that does not."""
    core = domain.core
    other = core.add_vhost("other é")
    core.add_user("reader", "päss", ("monitoring",))
    core.put_user(
        User(
            "imported",
            hash_password("x", b"salt", "rabbit_password_hashing_sha512"),
            "rabbit_password_hashing_sha512",
        )
    )
    core.set_permission(Permission("reader", "other é", "", "^$", ".*"))
    for vhost in (domain.vhost, other):
        session = object()
        lasting = vhost.declare_queue(None, "lasting", durable=True, arguments={"x-message-ttl": 5000})
        expiring = vhost.declare_queue(None, "expiring", durable=True, arguments={"x-expires": 60_000})
        passing = vhost.declare_queue(None, "passing")
        exclusive = vhost.declare_queue(session, "exclusive", durable=True, exclusive=True)
        one = vhost.declare_exchange(
            "one", "topic", durable=True, arguments={"alternate-exchange": "amq.fanout"}
        )
        inner = vhost.declare_exchange("inner", "fanout", durable=True, internal=True, auto_delete=True)
        short = vhost.declare_exchange("short", "direct")
        for queue in (lasting, expiring, passing, exclusive):
            for source in (one, inner, short):
                vhost.bind(source, queue, "k", {})
        vhost.bind(one, inner, "a.#", {"n": 1})
        vhost.bind(one, short, "a.#", {})


@pytest.mark.row("R23", "R40", "R31")
def test_what_is_durable_comes_back_and_nothing_else() -> None:
    domain = Domain()
    fill(domain)
    domain.tick()
    before = describe(domain)
    domain.restart()
    assert describe(domain) == before
    assert set(domain.vhost.queues) == {"lasting", "expiring"}
    assert {"one", "inner"} <= set(domain.vhost.exchanges)
    assert "short" not in domain.vhost.exchanges
    domain.restart()
    assert describe(domain) == before


def test_definitions_of_a_checkpoint_are_those_of_the_core() -> None:
    """Starting from a checkpoint or from the groups makes no difference."""
    domain = Domain()
    fill(domain)
    domain.tick()
    before = describe(domain)
    from pillarbox.broker.core import CoreSnapshot

    domain.journal.checkpoint(CoreSnapshot(domain.core))
    while domain.journal.step_checkpoint():
        pass
    domain.restart()
    assert describe(domain) == before


def test_deleted_things_stay_deleted() -> None:
    domain = Domain()
    fill(domain)
    domain.tick()
    for vhost in domain.core.vhosts.values():
        for name in ("lasting", "expiring"):
            vhost.delete_queue(None, name)
            assert "inner" in vhost.exchanges
        for name in ("passing", "exclusive"):
            vhost.remove_queue(vhost.queues[name])
        assert "inner" not in vhost.exchanges, "an auto-delete exchange goes with its last binding"
        vhost.delete_exchange("one")
    domain.tick()
    domain.restart()
    for vhost in domain.core.vhosts.values():
        assert not vhost.queues
        assert not vhost.inbound
        assert not set(vhost.exchanges) & {"one", "inner"}
    kinds = {kind for kind, _ in domain.core.definitions}
    assert kinds == {"vhost", "user", "permission"}


def test_queue_declared_again_inherits_nothing() -> None:
    """Queues are known by uid: a new queue of an old name has neither its messages nor its number."""
    from broker_tools import message

    domain = Domain()
    queue = domain.vhost.declare_queue(None, "q", durable=True)
    uid = queue.uid
    domain.publish([queue], [message(1)])
    domain.vhost.delete_queue(None, "q")
    domain.vhost.declare_queue(None, "q", durable=True)
    domain.tick()
    domain.restart()
    assert domain.queue("q").uid > uid
    assert domain.queue("q").ready_count == 0


# --- import -----------------------------------------------------------------------------------------------


@pytest.mark.row("R94", "R98")
def test_imported_definitions_come_back_after_a_restart() -> None:
    """Users with RabbitMQ's documented hash log in; queues, exchanges and bindings are there."""
    document = {
        "rabbit_version": "3.13.7",
        "vhosts": [{"name": "/"}, {"name": "shop"}],
        "users": [
            {
                "name": "alice",
                "password_hash": "kI3GCqW5JLMJa4iX1lo7X4D6XbYqlLgxIs30+P6tENUV2POR",
                "hashing_algorithm": "rabbit_password_hashing_sha256",
                "tags": ["administrator"],
            },
            {"name": "bob", "password_hash": "", "tags": "monitoring, management"},
        ],
        "permissions": [{"user": "alice", "vhost": "shop", "configure": ".*", "write": ".*", "read": ".*"}],
        "exchanges": [{"name": "x", "vhost": "shop", "type": "topic", "durable": True, "arguments": {}}],
        "queues": [{"name": "q", "vhost": "shop", "durable": True, "arguments": {"x-message-ttl": 5}}],
        "bindings": [
            {
                "source": "x",
                "vhost": "shop",
                "destination": "q",
                "destination_type": "queue",
                "routing_key": "a.#",
                "arguments": {},
            }
        ],
        "shovels of tomorrow": [{"name": "left alone"}],
    }
    domain = Domain()
    import_definitions(domain.core, document)
    import_definitions(domain.core, document)  # Nothing is made twice.
    domain.tick()
    for _ in range(2):
        core = domain.core
        alice = core.users.authenticate("alice", b"test12")
        assert alice is not None
        assert alice.tags == ("administrator",)
        assert core.users.by_name["bob"].tags == ("monitoring", "management")
        assert core.users.authenticate("bob", b"") is None
        assert core.users.may_enter(alice, "shop")
        route = core.vhosts["shop"].exchange("x").resolve(("a.b",))
        assert [queue.name for queue in route.queues] == ["q"]
        assert core.vhosts["shop"].queues["q"].ttl_ms == 5
        domain.restart()


def test_import_names_an_unknown_hashing_algorithm() -> None:
    document = {"users": [{"name": "eve", "password_hash": "x", "hashing_algorithm": "rot13", "tags": []}]}
    told = r"^users\[0\] \(eve\): unknown hashing_algorithm 'rot13'$"
    with pytest.raises(DefinitionsError, match=told):
        import_definitions(Domain().core, document)


def test_imported_user_without_a_password_cannot_log_in_by_one() -> None:
    """As with RabbitMQ, which lets such a user in by a certificate, say."""
    domain = Domain()
    import_definitions(domain.core, {"users": [{"name": "alice", "tags": "monitoring"}]})
    alice = domain.core.users.by_name["alice"]
    assert (alice.password_hash, alice.tags) == ("", ("monitoring",))
    for password in (b"", b"alice"):
        assert domain.core.users.authenticate("alice", password) is None
