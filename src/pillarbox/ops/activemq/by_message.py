"""Artemis' management by message: what a client asks of `activemq.management` is done to the beans (A86).

Headers name a resource (`_AMQ_ResourceName`: `broker`, `address.NAME`, `queue.NAME`) and an attribute
(`_AMQ_Attribute`) or an operation (`_AMQ_OperationName`), whose parameters are a JSON array in the body. The
answer is a JSON array with the result, or empty if there is none; `_AMQ_OperationSucceeded` says whether it
went well, and if not, the result is why. What an attribute is called a method `getNAME` or `isNAME` is, too.

Whoever has the tag `administrator` or `monitoring` may read attributes, operations are for the first, as over
Jolokia. Source: Artemis' `ManagementServiceImpl` and `ManagementHelper`; its manual, "Management".
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any, Final

import msgspec

from pillarbox.broker.orders import Answer
from pillarbox.errors import BrokerError, Reason
from pillarbox.ops.activemq import artemis
from pillarbox.ops.activemq.attributes import attributes
from pillarbox.ops.activemq.beans import Bean, in_steps
from pillarbox.ops.activemq.calls import operations
from pillarbox.ops.activemq.errors import JolokiaError
from pillarbox.ops.activemq.names import BeanName
from pillarbox.ops.activemq.operations import BOOL, INT, LONG, MAP, Operation
from pillarbox.ops.activemq.view import View
from pillarbox.ops.management.deciding import Deciding
from pillarbox.ops.management.request import HttpError

if TYPE_CHECKING:
    from pillarbox.broker.core import Core
    from pillarbox.broker.orders import Order
    from pillarbox.ops.management.node import Node
    from pillarbox.ops.pace import Pace

RESOURCE, ATTRIBUTE, OPERATION = "_AMQ_ResourceName", "_AMQ_Attribute", "_AMQ_OperationName"
SUCCEEDED: Final = "_AMQ_OperationSucceeded"
ADMINISTRATOR: Final = "administrator"
READERS: Final = frozenset((ADMINISTRATOR, "monitoring"))

_log = logging.getLogger("pillarbox")


class _WrongError(Exception):
    """What is asked for is not there; in Artemis' words."""


class Management:
    """Carries such orders out; see the module. `begin` starts a turn of the broker."""

    def __init__(self, core: Core, node: Node, begin: Callable[[], None], pace: Pace) -> None:
        self._core = core
        self._node = node
        self._begin = begin
        self._pace = pace
        self._deciding = Deciding(core, begin)
        self._tasks: set[asyncio.Task[None]] = set()

    def take(self, order: Order, answer: Callable[[Answer], None]) -> None:
        """See `TakeOrder`. Raises ACCESS_REFUSED for whoever may not manage."""
        wanted = READERS if OPERATION not in order.headers else {ADMINISTRATOR}
        if not wanted.intersection(order.user.tags):
            text = f"user '{order.user.name}' may not manage the broker: it has not the tag {ADMINISTRATOR}"
            raise BrokerError(Reason.ACCESS_REFUSED, text)
        if order.vhost != self._node.config.default_vhost:
            text = f"messages manage the virtual host '{self._node.config.default_vhost}' alone"
            raise BrokerError(Reason.ACCESS_REFUSED, text)
        task = asyncio.get_running_loop().create_task(self._obey(order, answer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _obey(self, order: Order, answer: Callable[[Answer], None]) -> None:
        view = View(self._core, self._node, self._begin, self._pace, order.user)
        try:
            self._begin()
            result = await self._deciding.run(lambda: _result(view, order), order.user)
            reply = Answer({SUCCEEDED: True}, _written(result))
        except (_WrongError, JolokiaError, HttpError) as error:
            reply = Answer({SUCCEEDED: False}, _written(str(error)))
        except BrokerError as error:
            reply = Answer({SUCCEEDED: False}, _written(error.text))
        except Exception:
            _log.exception("a message to the management failed")
            reply = Answer({SUCCEEDED: False}, _written("see the broker's log"))
        self._begin()
        answer(reply)


def _written(result: Any) -> str:
    return "" if result is None else msgspec.json.encode([result]).decode()


async def _result(view: View, order: Order) -> Any:
    """What comes of it; None where Artemis has nothing to say. Raises for what is wrong."""
    headers = order.headers
    resource = headers.get(RESOURCE, "")
    if OPERATION in headers:
        bean = await _bean(view, resource)
        return await _call(view, bean, headers[OPERATION], _parameters(bytes(order.body)))
    if ATTRIBUTE in headers:
        name = headers[ATTRIBUTE]
        try:
            return await _value(view, await _bean(view, resource), name)
        except _WrongError as error:
            raise _WrongError(f"Problem while retrieving attribute {name}: {error}") from None
    return None


def _parameters(body: bytes) -> list[Any]:
    if not body.strip():
        return []
    try:
        found = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _WrongError(f"the parameters are no JSON: {error}") from None
    if not isinstance(found, list):
        raise _WrongError("the parameters must be a JSON array")
    return found


async def _bean(view: View, resource: str) -> Bean:
    """The bean that a resource names. Raises _WrongError."""
    kind, _, name = resource.partition(".")
    if resource == "broker":
        keys = {"broker": artemis.quoted(artemis.BROKER)}
        return Bean(BeanName(artemis.DOMAIN, keys), "ArtemisBroker")
    if kind == "queue" and name in view.queues:
        at = artemis.AtAddress(name, artemis.ANYCAST, view.queues[name])
        # Most queues are at the address of their own name: then nobody looks at all of them.
        found = None if _is_elsewhere(view, name) else artemis.find(view, artemis.queue_name(at))
        if found is None:
            there = await in_steps(view, artemis.everything(view))
            found = next((one for one in there if one.kind == "ArtemisQueue" and _is_of(one, name)), None)
        if found is not None:
            return found
    if kind == "address":
        for one in await in_steps(view, artemis.everything(view)):
            if one.kind == "ArtemisAddress" and one.thing.name == name:
                return one
    raise _WrongError(f"AMQ229067: Cannot find resource with name {resource}")


def _is_of(bean: Bean, queue: str) -> bool:
    return bool(bean.thing.queue.name == queue)


def _is_elsewhere(view: View, name: str) -> bool:
    """Is this queue a subscription, which stands at the address of its topic?"""
    from pillarbox.ops.messaging import seen

    return seen.is_subscriber(view.core.vhosts[view.vhost], view.queues[name])


async def _value(view: View, bean: Bean, written: str) -> Any:
    there = attributes(view, bean)
    name = written[:1].upper() + written[1:]
    if name not in there:
        raise _WrongError(f"AMQ229068: no getter method for {written}")
    value = there[name]()
    return await in_steps(view, value) if isinstance(value, Generator) else value


_MISMATCH: Final = object()


def _find(bean: Bean, name: str, parameters: list[Any]) -> tuple[Operation, list[Any]] | None:
    """The operation of this name for such parameters, and what it is called with; None: there is none."""
    for one in operations(bean):
        if one.name == name and len(one.types) == len(parameters):
            pairs = zip(one.types, parameters, strict=True)
            values = [None if one.nulls and value is None else _read(kind, value) for kind, value in pairs]
            if _MISMATCH not in values:
                return one, values
    return None


def _read(kind: str, value: Any) -> Any:
    """A parameter as its type has it: Artemis converts numbers and truth no further than JSON does."""
    if kind in (INT, LONG):
        return value if isinstance(value, int) and not isinstance(value, bool) else _MISMATCH
    if kind == BOOL:
        return value if isinstance(value, bool) else _MISMATCH
    return value if isinstance(value, dict if kind == MAP else str) else _MISMATCH


async def _call(view: View, bean: Bean, name: str, parameters: list[Any]) -> Any:
    chosen = _find(bean, name, parameters)
    if chosen is not None:
        operation, arguments = chosen
        return await operation.call(view, bean, *arguments)
    getter = name.removeprefix("get") if name.startswith("get") else name.removeprefix("is")
    if not parameters and getter != name and getter in attributes(view, bean):
        return await _value(view, bean, getter)
    raise _WrongError(f"AMQ229069: no operation {name}/{len(parameters)}")
