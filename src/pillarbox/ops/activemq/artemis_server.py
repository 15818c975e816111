"""What may be called of Artemis' bean of the broker: queues, addresses, lists, connections.

An anycast address is the queue of its name here, so another queue cannot be made at it. A multicast address
is there while somebody is bound to it; a queue at it is a subscription, which several clients may share
(`address::queue`). What a queue here has nothing for (filters, last values, limits of consumers) is refused.

Source: Artemis' `ActiveMQServerControl`; its texts for what is wrong.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Final

from pillarbox.broker.exchange import TOPICS
from pillarbox.ops.activemq import artemis, beans
from pillarbox.ops.activemq.artemis import ANYCAST, MULTICAST, Address, AtAddress
from pillarbox.ops.activemq.artemis_messages import as_json
from pillarbox.ops.activemq.artemis_operations import consumer_told, queue_of
from pillarbox.ops.activemq.errors import ILLEGAL_ARGUMENT, ILLEGAL_STATE, JolokiaError
from pillarbox.ops.activemq.operations import BOOL, INT, LONG, TEXT, Operation, declare, number, truth
from pillarbox.ops.messaging import seen
from pillarbox.ops.messaging.seen import topic_key
from pillarbox.protocols.amqp091 import methods
from pillarbox.protocols.registry import routing_type

if TYPE_CHECKING:
    from pillarbox.broker.consumer import Consumer
    from pillarbox.ops.activemq.beans import Bean, Connected
    from pillarbox.ops.activemq.view import View

TYPES: Final = (ANYCAST, MULTICAST)
UNLIMITED: Final = -1
CLOSED: Final = "Closed via Jolokia"

# --- queues ------------------------------------------------------------------------------------------------


ARGUMENTS: Final[dict[str, Callable[[Any], dict[str, Any]]]] = {
    "ring-size": lambda value: {} if number(value) == UNLIMITED else {"x-max-length": number(value)},
    "exclusive": lambda value: {"x-single-active-consumer": True} if truth(value) else {},
    "auto-delete-delay": lambda value: {},
    "auto-delete-message-count": lambda value: {},
    "auto-create-address": lambda value: {},
    "auto-created": lambda value: {},
    "configuration-managed": lambda value: {},
    "id": lambda value: {},
    "user": lambda value: {},
}
"""Fields of a queue's configuration that are arguments here, or make no difference."""
IDLE: Final[dict[str, Any]] = {
    "filter-string": "",
    "max-consumers": UNLIMITED,
    "purge-on-no-consumers": False,
    "group-rebalance": False,
    "group-rebalance-pause-dispatch": False,
    "group-buckets": UNLIMITED,
    "group-first-key": "",
    "last-value": False,
    "last-value-key": "",
    "non-destructive": False,
    "consumers-before-dispatch": 0,
    "delay-before-dispatch": UNLIMITED,
    "enabled": True,
    "temporary": False,
    "transient": False,
    "internal": False,
    "fixed": False,
}
"""Fields that ask for what no queue does here, each with the value that does not."""
OWN: Final = ("name", "address", "routing-type", "durable", "auto-delete")


async def _create(view: View, config: dict[str, Any], *, again: bool = False) -> None:
    """Make a queue. Raises JolokiaError."""
    name = str(config.get("name") or "")
    address = str(config.get("address") or name)
    kind = _type(config.get("routing-type") or routing_type(view.node.config))
    if not name:
        raise JolokiaError(500, ILLEGAL_ARGUMENT, "a queue has to have a name")
    arguments: dict[str, Any] = {}
    for field, value in config.items():
        if value is None or field in OWN:
            continue
        if field in ARGUMENTS:
            arguments |= ARGUMENTS[field](value)
        elif field not in IDLE:
            raise JolokiaError(500, ILLEGAL_ARGUMENT, f"'{field}' is nothing that a queue has")
        elif _text(value) != _text(IDLE[field]):
            text = f"'{field}' of a queue can only be {as_json(IDLE[field])} here"
            raise JolokiaError(500, ILLEGAL_STATE, text)
    if kind == ANYCAST and name != address:
        text = f"an anycast address has one queue here, of its own name: {address}"
        raise JolokiaError(500, ILLEGAL_STATE, text)
    if name in view.queues:
        if again:
            return
        text = f"AMQ229019: Queue {name} already exists on address {address}"
        raise JolokiaError(500, ILLEGAL_STATE, text)
    durable, passing = truth(config.get("durable", True)), truth(config.get("auto-delete", False))
    await declare(view, name, arguments, durable=durable, auto_delete=passing)
    if kind == MULTICAST:
        await view.call(
            methods.QUEUE_BIND,
            *(0, name, TOPICS, topic_key(address), False, {}),
            answer=methods.QUEUE_BIND_OK,
        )


def _type(text: Any) -> str:
    kind = str(text).lower()
    if kind not in TYPES:
        raise JolokiaError(500, ILLEGAL_ARGUMENT, f"Invalid routing type: {text}")
    return kind


def _named(*fields: str) -> Callable[..., Any]:
    """A way to make a queue whose arguments are these fields of its configuration."""

    async def create(view: View, bean: Bean, *said: Any) -> str:
        await _create(view, dict(zip(fields, said, strict=True)))
        name = str(said[fields.index("name")])
        return as_json({"name": name})

    return create


def _silently(*fields: str) -> Callable[..., Any]:
    create = _named(*fields)

    async def call(view: View, bean: Bean, *said: Any) -> None:
        await create(view, bean, *said)

    return call


async def _create_of_json(view: View, bean: Bean, text: str, again: Any = False) -> str:
    try:
        config = json.loads(text)
    except (ValueError, RecursionError):
        config = None
    if not isinstance(config, dict):
        raise JolokiaError(500, ILLEGAL_STATE, f"failed to parse JSON queue configuration: {text[:100]}")
    await _create(view, config, again=truth(again))
    kind = _type(config.get("routing-type") or routing_type(view.node.config))
    filled = {"address": config["name"], "durable": True, "auto-delete": False} | config
    return as_json(filled | {"routing-type": kind.upper()})


async def _destroy(view: View, bean: Bean, name: str, with_consumers: Any = False, _: Any = False) -> None:
    queue = queue_of(view, name)
    if queue.consumer_count and not truth(with_consumers):
        text = (
            f"AMQ229025: Cannot delete queue {name} on binding {name} - it has consumers = "
            f"{queue.consumer_count}"
        )
        raise JolokiaError(500, ILLEGAL_STATE, text)
    await view.call(methods.QUEUE_DELETE, 0, name, False, False, False, answer=methods.QUEUE_DELETE_OK)


async def _queue_names(view: View, bean: Bean, kind: str) -> list[str]:
    wanted = _type(kind)
    return [at.queue.name for at in await _at_addresses(view) if at.routing == wanted]


# --- addresses ---------------------------------------------------------------------------------------------


async def _things(view: View, kind: str) -> list[Any]:
    found = await beans.in_steps(view, artemis.everything(view))
    return [each.thing for each in found if each.kind == kind]


async def _at_addresses(view: View) -> list[AtAddress]:
    return await _things(view, "ArtemisQueue")


async def _address_of(view: View, name: str) -> Address | None:
    found: list[Address] = await _things(view, "ArtemisAddress")
    return next((one for one in found if one.name == name), None)


async def _demand_address(view: View, name: str) -> Address:
    found = await _address_of(view, name)
    if found is None:
        raise JolokiaError(500, ILLEGAL_STATE, f"AMQ229203: Address Does Not Exist: {name}")
    return found


def _told(name: str, kinds: Iterable[str]) -> str:
    types = ", ".join(kind.upper() for kind in kinds)
    return f"Address [name={name}, routingTypes={{{types}}}, autoCreated=false]"


async def _create_address(view: View, bean: Bean, name: str, types: str) -> str:
    """An anycast one is its queue; a multicast one is there when somebody is bound to it."""
    kinds = [_type(part.strip()) for part in types.split(",") if part.strip()]
    if await _address_of(view, name) is not None:
        raise JolokiaError(500, ILLEGAL_STATE, f"AMQ229204: Address already exists: {name}")
    if ANYCAST in kinds:
        await _create(view, {"name": name, "routing-type": ANYCAST})
    return _told(name, kinds)


async def _delete_address(view: View, bean: Bean, name: str, force: Any = False) -> None:
    found = await _demand_address(view, name)
    if not truth(force):
        raise JolokiaError(500, ILLEGAL_STATE, f"AMQ229205: Address {name} has bindings")
    for queue in list(found.queues):
        await _destroy(view, bean, queue.name, True)


async def _address_info(view: View, bean: Bean, name: str) -> str:
    found = await _demand_address(view, name)
    return _told(name, [found.routing])


async def _bindings(view: View, bean: Bean, name: str) -> str:
    found = await _demand_address(view, name)
    return "\n".join(
        f"LocalQueueBinding [address={name}, queue={queue.name}, filter=null, name={queue.name}]"
        for queue in found.queues
    )


async def _address_names(view: View, bean: Bean, separator: str) -> str:
    found: list[Address] = await _things(view, "ArtemisAddress")
    return separator.join(sorted({one.name for one in found}, key=str.lower))


# --- lists -------------------------------------------------------------------------------------------------

Fields = dict[str, Callable[["View", Any], Any]]

OF_QUEUES: Final[Fields] = {
    "id": artemis.OF_QUEUE["ID"],
    "name": artemis.OF_QUEUE["Name"],
    "address": artemis.OF_QUEUE["Address"],
    "filter": lambda view, at: "",
    "durable": artemis.OF_QUEUE["Durable"],
    "paused": artemis.OF_QUEUE["Paused"],
    "temporary": artemis.OF_QUEUE["Temporary"],
    "purgeOnNoConsumers": lambda view, at: False,
    "consumerCount": artemis.OF_QUEUE["ConsumerCount"],
    "maxConsumers": artemis.OF_QUEUE["MaxConsumers"],
    "routingType": artemis.OF_QUEUE["RoutingType"],
    "messagesAdded": artemis.OF_QUEUE["MessagesAdded"],
    "messageCount": artemis.OF_QUEUE["MessageCount"],
    "messagesAcked": artemis.OF_QUEUE["MessagesAcknowledged"],
    "messagesExpired": artemis.OF_QUEUE["MessagesExpired"],
    "deliveringCount": artemis.OF_QUEUE["DeliveringCount"],
    "messagesKilled": artemis.OF_QUEUE["MessagesKilled"],
    "scheduledCount": artemis.scheduled_now,
    "autoDelete": artemis.OF_QUEUE["AutoDelete"],
}
OF_ADDRESSES: Final[Fields] = {
    "name": artemis.OF_ADDRESS["Address"],
    "routingTypes": lambda view, one: json.dumps([one.routing.upper()]),
    "queueCount": artemis.OF_ADDRESS["QueueCount"],
    "paused": artemis.OF_ADDRESS["Paused"],
    "messageCount": artemis.OF_ADDRESS["MessageCount"],
    "addressSize": artemis.OF_ADDRESS["AddressSize"],
    "paging": artemis.OF_ADDRESS["Paging"],
    "numberOfPages": artemis.OF_ADDRESS["NumberOfPages"],
}
"""What lists tell of one, in the order of Artemis' console; all values are told as texts."""

TESTS: Final[dict[str, Callable[[Any, str], bool]]] = {
    "": lambda value, text: True,
    "EQUALS": lambda value, text: _text(value) == text,
    "NOT_EQUALS": lambda value, text: _text(value) != text,
    "CONTAINS": lambda value, text: text in _text(value),
    "NOT_CONTAINS": lambda value, text: text not in _text(value),
    "GREATER_THAN": lambda value, text: _is_number(value) and value > number(text),
    "LESS_THAN": lambda value, text: _is_number(value) and value < number(text),
}


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _is_number(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _list(kind: str, fields: Fields) -> Callable[..., Any]:
    """A page of a list, filtered and sorted as the options say."""

    async def call(view: View, bean: Bean, options: str | None, page: Any, size: Any) -> str:
        said = _options(options)
        field, operation = str(said.get("field") or ""), str(said.get("operation") or "")
        test = TESTS.get(operation)
        if test is None or (field and field not in fields):
            text = f"no field or operation is called so: {field} {operation}"
            raise JolokiaError(500, ILLEGAL_ARGUMENT, text)
        await beans.in_steps(view, seen.scheduled(view.core.vhosts[view.vhost]))
        things = await _things(view, kind)
        if field and operation:
            value = str(said.get("value") or "")
            things = [one for one in things if test(fields[field](view, one), value)]
        by = str(said.get("sortField") or said.get("sortColumn") or "name")
        if by in fields:
            down = str(said.get("sortOrder") or "asc").lower() == "desc"
            things.sort(key=lambda one: fields[by](view, one), reverse=down)
        shown, first, most = things, number(page), number(size)
        if first != UNLIMITED and most != UNLIMITED:
            shown = things[max(0, first - 1) * most : max(0, first) * most]
        data = [{name: _text(read(view, one)) for name, read in fields.items()} for one in shown]
        return as_json({"data": data, "count": len(things)})

    return call


def _options(text: str | None) -> dict[str, Any]:
    if not text or not text.strip():
        return {}
    try:
        said = json.loads(text)
    except (ValueError, RecursionError):
        said = None
    if not isinstance(said, dict):
        raise JolokiaError(500, ILLEGAL_ARGUMENT, "the options of a list have to be an object in JSON")
    return said


# --- connections -------------------------------------------------------------------------------------------


async def _connection_ids(view: View, bean: Bean) -> list[str]:
    return [one.facts.name for one in beans.sessions(view)]


async def _connections(view: View, bean: Bean) -> str:
    return as_json(
        [
            {
                "connectionID": one.facts.name,
                "clientAddress": f"{one.facts.peer_host}:{one.facts.peer_port}",
                "creationTime": one.facts.connected_ms,
                "implementation": one.facts.protocol,
                "sessionCount": 1,
                "clientID": one.client,
                "user": one.session.user.name,
            }
            for one in beans.sessions(view)
        ]
    )


def _consumers_of(one: Connected) -> list[Consumer]:
    return [consumer for channel in one.session.channels for consumer in channel.consumers.values()]


async def _consumers(view: View, bean: Bean, connection: str) -> str:
    found = [one for one in beans.sessions(view) if one.facts.name == connection]
    return as_json([consumer_told(each) for one in found for each in _consumers_of(one)])


async def _all_consumers(view: View, bean: Bean) -> str:
    return as_json([consumer_told(each) for one in beans.sessions(view) for each in _consumers_of(one)])


async def _remote_addresses(view: View, bean: Bean, address: str = "") -> list[str]:
    found = (f"{one.facts.peer_host}:{one.facts.peer_port}" for one in beans.sessions(view))
    return [each for each in found if each.startswith(address)]


def _close(is_meant: Callable[[View, Connected, str], bool]) -> Callable[..., Any]:
    """Close connections; whether there were any."""

    async def call(view: View, bean: Bean, text: str) -> bool:
        meant = [one for one in beans.sessions(view) if is_meant(view, one, text)]
        for one in meant:
            if one.session.head is not None:
                one.session.head.shut_down(CLOSED)
        return bool(meant)

    return call


def _reads(view: View, one: Connected, address: str) -> bool:
    """Does a connection receive from a queue of this address?"""
    host = view.core.vhosts[view.vhost]
    return any(
        consumer.queue.name == address
        or any(
            binding.source.name == TOPICS and binding.key == topic_key(address)
            for binding in host.bindings_to(consumer.queue)
        )
        for consumer in _consumers_of(one)
    )


# --- the table ---------------------------------------------------------------------------------------------

_SAID: Final = {
    "address": TEXT,
    "name": TEXT,
    "routing-type": TEXT,
    "filter-string": TEXT,
    "last-value-key": TEXT,
    "group-first-key": TEXT,
    "max-consumers": INT,
    "group-buckets": INT,
    "consumers-before-dispatch": INT,
    "delay-before-dispatch": LONG,
    "auto-delete-delay": LONG,
    "auto-delete-message-count": LONG,
    "ring-size": LONG,
}
"""Types of the arguments of `createQueue`; all others are truth values."""
_BEGIN: Final = (
    *("address", "routing-type", "name", "filter-string", "durable", "max-consumers"),
    "purge-on-no-consumers",
)
_MORE: Final = (*_BEGIN, "exclusive", "group-rebalance", "group-buckets")
_LAST: Final = (
    *("last-value", "last-value-key", "non-destructive", "consumers-before-dispatch"),
    "delay-before-dispatch",
)
_DELETED: Final = ("auto-delete", "auto-delete-delay", "auto-delete-message-count", "auto-create-address")
_CREATED: Final = (
    ("address", "name"),
    ("address", "name", "routing-type"),
    ("address", "name", "durable"),
    ("address", "name", "durable", "routing-type"),
    ("address", "name", "filter-string", "durable"),
    ("address", "name", "filter-string", "durable", "routing-type"),
)
_CREATED_AND_TOLD: Final = (
    (*_BEGIN, "auto-create-address"),
    (*_MORE, *_LAST, "auto-create-address"),
    (*_MORE, *_LAST, *_DELETED),
    (*_MORE, "group-first-key", *_LAST, *_DELETED),
    (*_MORE, "group-first-key", *_LAST, *_DELETED, "ring-size"),
)


def _types(fields: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(_SAID.get(field, BOOL) for field in fields)


SERVER_OPERATIONS: Final = (
    *(Operation("createQueue", _types(each), _silently(*each), True) for each in _CREATED),
    *(Operation("createQueue", _types(each), _named(*each), True) for each in _CREATED_AND_TOLD),
    Operation("createQueue", (TEXT,), _create_of_json),
    Operation("createQueue", (TEXT, BOOL), _create_of_json),
    Operation("deployQueue", (TEXT, TEXT, TEXT), _silently("address", "name", "filter-string"), True),
    Operation(
        "deployQueue",
        (TEXT, TEXT, TEXT, BOOL),
        _silently("address", "name", "filter-string", "durable"),
        True,
    ),
    Operation("destroyQueue", (TEXT,), _destroy),
    Operation("destroyQueue", (TEXT, BOOL), _destroy),
    Operation("destroyQueue", (TEXT, BOOL, BOOL), _destroy),
    Operation("getQueueNames", (TEXT,), _queue_names),
    Operation("createAddress", (TEXT, TEXT), _create_address),
    Operation("deleteAddress", (TEXT,), _delete_address),
    Operation("deleteAddress", (TEXT, BOOL), _delete_address),
    Operation("getAddressInfo", (TEXT,), _address_info),
    Operation("listBindingsForAddress", (TEXT,), _bindings),
    Operation("listAddresses", (TEXT,), _address_names),
    Operation("listAddresses", (TEXT, INT, INT), _list("ArtemisAddress", OF_ADDRESSES), True),
    Operation("listQueues", (TEXT, INT, INT), _list("ArtemisQueue", OF_QUEUES), True),
    Operation("listConnectionIDs", (), _connection_ids),
    Operation("listConnectionsAsJSON", (), _connections),
    Operation("listConsumersAsJSON", (TEXT,), _consumers),
    Operation("listAllConsumersAsJSON", (), _all_consumers),
    Operation("listRemoteAddresses", (), _remote_addresses),
    Operation("listRemoteAddresses", (TEXT,), _remote_addresses),
    Operation("closeConnectionWithID", (TEXT,), _close(lambda view, one, text: one.facts.name == text)),
    Operation(
        "closeConnectionsForAddress", (TEXT,), _close(lambda view, one, text: one.facts.peer_host == text)
    ),
    Operation(
        "closeConnectionsForUser", (TEXT,), _close(lambda view, one, text: one.session.user.name == text)
    ),
    Operation("closeConsumerConnectionsForAddress", (TEXT,), _close(_reads)),
)
