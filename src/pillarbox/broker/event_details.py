"""What events say: for each event the headers of its message, as RabbitMQ's have them.

`DETAILS` is for what happens to things, `DEFINED` and `UNDEFINED` for what happens to definitions, by their
kind. Names, types and spelling are those of 3.10.8, where much is written as Erlang writes it: arguments are
a list of terms, addresses are tuples, an error is a list of characters. Numbers are integers of 64 bits.

Not here: who listens, and who has done it (`events`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from ipaddress import IPv4Address, ip_address
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from pillarbox.broker.arguments import spelled
from pillarbox.broker.policy import NOTHING_APPLIED

if TYPE_CHECKING:
    from pillarbox.broker.client import Client, ClientChannel, ClientFacts
    from pillarbox.broker.consumer import Consumer
    from pillarbox.broker.events import Events
    from pillarbox.broker.exchange import Binding, Exchange
    from pillarbox.broker.policy import Policy
    from pillarbox.broker.queue import Queue
    from pillarbox.broker.session import Session

Details = dict[str, Any]
"""Headers by name; those that are None are left out."""


INTERNAL: Final = "rmq-internal"
"""Who does what nobody has asked for, in RabbitMQ's word."""


def wrong_password(name: str | None) -> str:
    """Why somebody may not log in, as events say it."""
    return f"user '{name}' - invalid credentials"


def only_local(name: str) -> str:
    return f"user '{name}' can only connect via localhost"


class Event(NamedTuple):
    """An event that a definition causes. `by`: who has done it, if not who acts."""

    name: str
    details: Details
    by: str | None = None


# --- as Erlang writes it -------------------------------------------------------------------------------


def _terms(arguments: Mapping[str, Any]) -> list[str]:
    """Arguments: a list of tuples of key, type and value."""
    return [spelled({key: value})[1:-1] for key, value in arguments.items()]


def _characters(text: str) -> list[int]:
    return [ord(character) for character in text]


def _address(host: str) -> str:
    try:
        address = ip_address(host)
    except ValueError:
        return host
    if isinstance(address, IPv4Address):
        return f"{{{','.join(str(octet) for octet in address.packed)}}}"
    words = (int.from_bytes(address.packed[at : at + 2], "big") for at in range(0, 16, 2))
    return f"{{{','.join(map(str, words))}}}"


def _protocol(name: str) -> str:
    """`AMQP 0-9-1` is a tuple of its version there, every other one of name and version."""
    protocol, _, version = name.partition(" ")
    if protocol == "AMQP":
        return f"{{{version.replace('-', ',')}}}"
    return f"{{'{protocol}',\"{version}\"}}"


def _value(value: Any) -> Any:
    """The value of a parameter: an object without members is a list without items."""
    if isinstance(value, Mapping):
        return {key: _value(each) for key, each in value.items()} or []
    return [_value(each) for each in value] if isinstance(value, list) else value


# --- things ----------------------------------------------------------------------------------------------


class DefaultExchange:
    """The exchange that is no object, as those see it who hear of it."""

    name, kind, durable, auto_delete, internal = "", "direct", True, False, False
    arguments: Mapping[str, Any] = {}
    applied = NOTHING_APPLIED


def _exchange(events: Events, vhost: str, exchange: Exchange | DefaultExchange) -> Details:
    policy = exchange.applied.policy
    return {
        "name": exchange.name,
        "vhost": vhost,
        "type": exchange.kind,
        "durable": exchange.durable,
        "auto_delete": exchange.auto_delete,
        "internal": exchange.internal,
        "arguments": _terms(exchange.arguments),
        "policy": "" if policy is None else policy.name,
    }


def _named(events: Events, vhost: str, name: str) -> Details:
    return {"name": name, "vhost": vhost}


def _queue(events: Events, vhost: str, queue: Queue) -> Details:
    owner = queue.owner
    kind = queue.kind
    return {
        "name": queue.name,
        "vhost": vhost,
        "durable": queue.durable,
        "auto_delete": queue.auto_delete,
        "arguments": _terms(queue.arguments),
        # Each type of queue says something else of itself.
        "exclusive": None if kind == "stream" else owner is not None,
        "owner_pid": None if kind != "classic" else "" if owner is None else _owner_pid(events, owner),
        "type": None if kind == "classic" else _type(queue),
    }


def _queue_gone(events: Events, vhost: str, queue: Queue) -> Details:
    return _named(events, vhost, queue.name)


def _owner_pid(events: Events, owner: Any) -> str:
    return events.pid(getattr(owner, "head", None) or owner)


def _type(queue: Queue) -> str:
    return f"rabbit_{queue.kind}_queue"


def _binding(events: Events, vhost: str, binding: Binding) -> Details:
    return {
        "source_name": binding.source.name,
        "source_kind": "exchange",
        "destination_name": binding.destination.name,
        "destination_kind": binding.destination_kind,
        "routing_key": binding.key,
        "arguments": _terms(binding.arguments),
        "vhost": vhost,
    }


def _policy(events: Events, policy: Policy) -> Details:
    return {"name": policy.name, "vhost": policy.vhost, **_settings(policy)}


def _settings(policy: Policy) -> Details:
    return {
        "pattern": policy.pattern,
        "apply-to": policy.apply_to,
        "definition": _value(policy.definition),
        "priority": policy.priority,
    }


def _queue_governed(events: Events, vhost: str, queue: Queue, policy: Policy) -> Details:
    return {**_queue_ungoverned(events, vhost, queue), **_settings(policy)}


def _queue_ungoverned(events: Events, vhost: str, queue: Queue) -> Details:
    return {"name": queue.name, "vhost": vhost, "type": _type(queue)}


def _consumer(events: Events, vhost: str, consumer: Consumer) -> Details:
    return {
        **_consumer_gone(events, vhost, consumer),
        "exclusive": consumer.exclusive,
        "ack_required": not consumer.no_ack,
        "prefetch_count": consumer.prefetch,
        "arguments": _terms(consumer.arguments),
    }


def _consumer_gone(events: Events, vhost: str, consumer: Consumer) -> Details:
    return {
        "consumer_tag": consumer.tag,
        "queue": consumer.queue.name,
        "vhost": vhost,
        "channel": events.pid(consumer.sink),
    }


# --- connections -----------------------------------------------------------------------------------------


def _tls(facts: ClientFacts) -> Details:
    """What is known of the encryption; without it all of this is said to be nothing."""
    tls = facts.tls
    exchange, cipher, digest = ("", "", "") if tls is None else tls.suite
    return {
        "ssl": tls is not None,
        "ssl_protocol": "" if tls is None else tls.version,
        "ssl_key_exchange": exchange,
        "ssl_cipher": cipher,
        "ssl_hash": digest,
        "peer_cert_subject": "" if tls is None else tls.peer_subject,
        "peer_cert_issuer": "" if tls is None else tls.peer_issuer,
        "peer_cert_validity": "" if tls is None else tls.peer_validity,
    }


def _ends(facts: ClientFacts) -> Details:
    return {
        "protocol": _protocol(facts.protocol),
        "host": _address(facts.host),
        "peer_host": _address(facts.peer_host),
        "peer_port": facts.peer_port,
        "auth_mechanism": facts.auth_mechanism,
    }


def _network(facts: ClientFacts) -> Details:
    return {
        **_ends(facts),
        **_tls(facts),
        "port": facts.port,
        "type": "network",
        "channel_max": facts.channel_max,
        "frame_max": facts.frame_max,
        "timeout": facts.timeout_s,
    }


_DIRECT: Final = {
    "type": "direct",
    "protocol": "{'Direct',{0,9,1}}",
    **dict.fromkeys(("host", "port", "peer_host", "peer_port"), "unknown"),
}
"""What is said of a connection that the broker has with itself, as when a message is published over HTTP."""


def _is_direct(facts: ClientFacts) -> bool:
    return not facts.host


def _name(events: Events, client: Client, facts: ClientFacts) -> str:
    return events.pid(client) if _is_direct(facts) else facts.name


def _connection(events: Events, session: Session) -> Details:
    assert session.head is not None, "who is introduced has a head"
    facts = session.head.client_facts()
    return {
        **_connection_closed(events, session.head),
        **(_DIRECT if _is_direct(facts) else _network(facts)),
        "client_properties": _terms(facts.properties),
        "user": session.user.name,
        "vhost": session.vhost.name,
        "connected_at": facts.connected_ms,
    }


def _connection_closed(events: Events, client: Client) -> Details:
    facts = client.client_facts()
    return {
        "name": _name(events, client, facts),
        "user_provided_name": facts.properties.get("connection_name"),
        "client_properties": None if _is_direct(facts) else _terms(facts.properties),
        "pid": events.pid(client),
        "node": events.node,
    }


def _login(events: Events, client: Client, user: str | None, mechanism: str) -> Details:
    """`user`: None if the client has not said who it is."""
    facts = client.client_facts()
    if _is_direct(facts):
        return {"name": user, "connection_type": "direct"}
    said = {name: value for name, value in _tls(facts).items() if value != "" and name not in _NOT_OF_LOGINS}
    return {
        **_ends(facts),
        **said,
        "name": user,
        "auth_mechanism": mechanism,
        "connection_name": facts.name,
        "connection_type": "network",
    }


_NOT_OF_LOGINS: Final = ("ssl_key_exchange", "ssl_hash")


def _login_refused(events: Events, client: Client, user: str | None, mechanism: str, why: str) -> Details:
    return {**_login(events, client, user, mechanism), "error": _characters(why)}


def _channel(events: Events, session: Session, channel: ClientChannel) -> Details:
    head = session.head
    assert head is not None, "who has channels is introduced"
    return {
        "name": f"{_name(events, head, head.client_facts())} ({channel.number})",
        "number": channel.number,
        "user": session.user.name,
        "vhost": session.vhost.name,
        "pid": events.pid(channel),
        "connection": events.pid(head),
    }


def _channel_closed(events: Events, channel: ClientChannel) -> Details:
    return {"pid": events.pid(channel)}


def _alarm(events: Events, resource: str) -> Details:
    return {"source": resource, "node": events.node}


def _topic_permission_gone(events: Events, user: str, vhost: str, exchange: str | None) -> Details:
    return {"user": user, "vhost": vhost, "exchange": exchange}


DETAILS: Final[dict[str, Callable[..., Details]]] = {
    "alarm.cleared": _alarm,
    "alarm.set": _alarm,
    "binding.created": _binding,
    "binding.deleted": _binding,
    "channel.closed": _channel_closed,
    "channel.created": _channel,
    "connection.closed": _connection_closed,
    "connection.created": _connection,
    "consumer.created": _consumer,
    "consumer.deleted": _consumer_gone,
    "exchange.created": _exchange,
    "exchange.deleted": _named,
    "operator.policy.cleared": _named,
    "policy.cleared": _named,
    "policy.set": _policy,
    "queue.created": _queue,
    "queue.deleted": _queue_gone,
    "queue.policy.cleared": _queue_ungoverned,
    "queue.policy.updated": _queue_governed,
    "topic.permission.deleted": _topic_permission_gone,
    "user.authentication.failure": _login_refused,
    "user.authentication.success": _login,
}
"""Event → its headers, of the things that it is told with."""


# --- definitions -----------------------------------------------------------------------------------------


def _user_defined(events: Events, user: Any, before: Any) -> Iterator[Event]:
    """Who makes a user without tags sets none; who changes a password says the tags again."""
    about = {"name": user.name}
    hashed = before is not None and user.password_hash != before.password_hash
    if before is None:
        yield Event("user.created", about)
    elif hashed or user.scram != before.scram:
        yield Event(f"user.password.{'changed' if user.password_hash or not hashed else 'cleared'}", about)
    if user.tags if before is None else hashed or user.tags != before.tags:
        yield Event("user.tags.set", {**about, "tags": list(user.tags)})


def _permission_defined(events: Events, permission: Any, before: Any) -> Iterator[Event]:
    yield Event("permission.created", _fields(permission, "user", "vhost", "configure", "write", "read"))


def _topic_permission_defined(events: Events, permission: Any, before: Any) -> Iterator[Event]:
    details = _fields(permission, "user", "vhost", "exchange", "write", "read")
    yield Event("topic.permission.created", details)


def _fields(definition: Any, *names: str) -> Details:
    return {name: getattr(definition, name) for name in names}


def _parameter(component: str, name: str, value: Any = None, vhost: str | None = None) -> Details:
    return {"component": component, "name": name, "value": value, "vhost": vhost}


def _operator_policy_defined(events: Events, policy: Policy, before: Any) -> Iterator[Event]:
    if policy != before:
        about = _parameter("operator_policy", policy.name, _settings(policy), policy.vhost)
        yield Event("parameter.set", about)


def _global_parameter_defined(events: Events, parameter: Any, before: Any) -> Iterator[Event]:
    yield Event("parameter.set", _parameter("global", parameter.name, _value(parameter.value)))


def _parameter_defined(events: Events, parameter: Any, before: Any) -> Iterator[Event]:
    """Without its value, in which there may be passwords."""
    yield Event("parameter.set", _parameter_named(parameter))


def _parameter_named(parameter: Any) -> Details:
    return _parameter(parameter.component, parameter.name, vhost=parameter.vhost)


_LIMITS: Final = "limits"
"""The one name that limits of all kinds have."""


def _vhost_limits_defined(events: Events, limits: Any, before: Any) -> Iterator[Event]:
    if before is not None and limits.values == before.values:
        return
    yield Event("parameter.set", _parameter("vhost-limits", _LIMITS, dict(limits.values), limits.owner))
    yield Event("vhost.limits.set", {"name": _LIMITS, **limits.values})


def _user_limits_defined(events: Events, limits: Any, before: Any) -> Iterator[Event]:
    """Those that are new or others, then that some are not there any more."""
    former = {} if before is None else before.values
    about = {"name": _LIMITS, "username": limits.owner}
    if changed := {name: value for name, value in limits.values.items() if former.get(name) != value}:
        yield Event("user.limits.set", {**about, **changed})
    if former.keys() - limits.values.keys():
        yield Event("user.limits.cleared", about)


def _vhost_defined(events: Events, vhost: Any, before: Any) -> Iterator[Event]:
    queue_type = vhost.default_queue_type
    named = f"default_queue_type => {spelled(queue_type)}," if queue_type else ""
    metadata = f"{named}description => {spelled(vhost.description)},tags => [{','.join(vhost.tags)}]"
    details = {
        "name": vhost.name,
        "description": vhost.description,
        "tags": list(vhost.tags),
        "metadata": f"#{{{metadata}}}",
        "default_queue_type": queue_type or "undefined",
        "tracing": events.core.vhosts[vhost.name].tracing,
        "cluster_state": {events.node: "running"},
    }
    yield Event("vhost.created" if before is None else "vhost.updated", details)


DEFINED: Final[dict[str, Callable[[Events, Any, Any], Iterator[Event]]]] = {
    "global_parameter": _global_parameter_defined,
    "operator_policy": _operator_policy_defined,
    "parameter": _parameter_defined,
    "permission": _permission_defined,
    "topic_permission": _topic_permission_defined,
    "user": _user_defined,
    "user_limits": _user_limits_defined,
    "vhost": _vhost_defined,
    "vhost_limits": _vhost_limits_defined,
}
"""Kind of definition → the events of its being defined; with what it was before, None if it is new."""


def _vhost_undefined(events: Events, vhost: Any) -> Iterator[Event]:
    yield Event("vhost.deleted", {"name": vhost.name})
    yield Event("vhost.down", {"name": vhost.name, "node": events.node}, INTERNAL)


def _vhost_limits_undefined(events: Events, limits: Any) -> Iterator[Event]:
    yield Event("parameter.cleared", _parameter("vhost-limits", _LIMITS, vhost=limits.owner))
    yield Event("vhost.limits.cleared", {"name": _LIMITS})


UNDEFINED: Final[dict[str, Callable[[Events, Any], Iterator[Event]]]] = {
    "global_parameter": lambda events, one: iter(
        [Event("parameter.cleared", _parameter("global", one.name))]
    ),
    "operator_policy": lambda events, one: iter(
        [Event("parameter.cleared", _parameter("operator_policy", one.name, vhost=one.vhost))]
    ),
    "parameter": lambda events, one: iter([Event("parameter.cleared", _parameter_named(one))]),
    "permission": lambda events, one: iter([Event("permission.deleted", _fields(one, "user", "vhost"))]),
    "user": lambda events, one: iter([Event("user.deleted", {"name": one.name})]),
    "user_limits": lambda events, one: iter(
        [Event("user.limits.cleared", {"name": _LIMITS, "username": one.owner})]
    ),
    "vhost": _vhost_undefined,
    "vhost_limits": _vhost_limits_undefined,
}
"""Kind of definition → the events of its being gone."""
