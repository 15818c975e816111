"""Events: what happens in the broker, as messages on the exchange `amq.rabbitmq.event` (R75).

Whoever binds a queue there hears of queues, exchanges, bindings, connections, channels, consumers, users,
permissions, policies, parameters, virtual hosts, limits, alarms and logins, by topic (`queue.*`). An event
is a message without a body: its name is the routing key, what it is about stands in headers. Nobody pays for
any of this unless the operator has switched it on; what an event says is put together only if somebody
listens for it, and no message costs anything for it. Other readers hear of the things themselves (`read`):
what they make of them is theirs (`advisories`).

Not here: who says that something has happened, and what the headers say of it (`event_details`). Source:
RabbitMQ, "Event Exchange", and what 3.10.8 was seen to say (`tests/compare_events`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from weakref import WeakKeyDictionary

import msgspec

from pillarbox.broker.arguments import spelled
from pillarbox.broker.client import NODE_NAME
from pillarbox.broker.dialects import Neutral
from pillarbox.broker.event_details import DEFINED, DETAILS, INTERNAL, UNDEFINED, Event
from pillarbox.engine.base import Address, Message

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from pillarbox.broker.chores import Parts
    from pillarbox.broker.client import Client
    from pillarbox.broker.core import Core
    from pillarbox.broker.queue import Queue

EXCHANGE: Final = "amq.rabbitmq.event"

NOBODY: Final = ""
"""Of what nobody has done no event says who has."""

LARGE_FROM: Final = 1 << 63
"""No header has an integer of this size."""

WHO: Final = "user_who_performed_action"


class Events:
    """See the module. `acting`: the user who does what is being done, as far as anybody knows."""

    def __init__(self, core: Core) -> None:
        self.core = core
        self.node = NODE_NAME
        self.acting = INTERNAL
        self._vhost: str | None = None
        """Where the exchange is; None: events are not told."""
        self._pids: WeakKeyDictionary[Any, str] = WeakKeyDictionary()
        self._pid_count = self._begun_s = 0
        self._readers: dict[str, list[Callable[..., None]]] = {}

    def __repr__(self) -> str:
        return f"<Events vhost={self._vhost!r}>"

    @property
    def is_told(self) -> bool:
        """May there be anybody who wants to hear of them?"""
        return self._vhost is not None

    def begin(self, vhost: str) -> None:
        """Tell events in this virtual host from now on."""
        self.core.vhosts[vhost].provide_exchange(EXCHANGE)
        self._vhost = vhost
        self._begun_s = self.core.changes.now_ms // 1000

    def tell(self, name: str, /, *about: Any, by: str | None = None) -> None:
        """Something has happened to these things; see `DETAILS`. `by`: who has done it, if not who acts."""
        if self._vhost is not None and (queues := self._listeners(name)):
            self._publish(queues, name, DETAILS[name](self, *about), by)
        if self._readers:
            self.mention(name, *about)

    def read(self, name: str, hear: Callable[..., None]) -> None:
        """Have somebody else hear of these events too, with the things that each is about."""
        self._readers.setdefault(name, []).append(hear)

    def mention(self, name: str, /, *about: Any) -> None:
        """Something has happened of which RabbitMQ has no event: only `read` hears of it."""
        for hear in self._readers.get(name, ()):
            hear(*about)

    def login(self, client: Client, name: str | None, mechanism: str, refused: str = "") -> None:
        """A client has logged in, or was refused for this reason. `name`: None if it has not said one."""
        if refused:
            self.tell("user.authentication.failure", client, name, mechanism, refused, by=NOBODY)
        else:
            self.tell("user.authentication.success", client, name, mechanism, by=NOBODY)

    def defined(self, kind: str, definition: msgspec.Struct, before: Any) -> None:
        """Something that is kept was defined; `before`: what it was, None if it is new."""
        if kind in DEFINED:
            self._tell_all(DEFINED[kind](self, definition, before))

    def undefined(self, kind: str, before: Any) -> None:
        """Something that was kept is gone."""
        if kind in UNDEFINED:
            self._tell_all(UNDEFINED[kind](self, before))

    def _tell_all(self, events: Iterable[Event]) -> None:
        for name, details, by in events:
            if queues := self._listeners(name):
                self._publish(queues, name, details, by)

    def on_behalf(self, parts: Parts) -> Parts:
        """Have all parts of some work done by who acts now."""
        acting = self.acting
        for _ in parts:
            yield
            self.acting = acting

    def pid(self, thing: object) -> str:
        """A connection or channel as RabbitMQ names the process that serves it: the same in all of its
        events, and in those of no other."""
        if thing not in self._pids:
            self._pid_count += 1
            self._pids[thing] = f"<{self.node}.{self._begun_s}.{self._pid_count}.0>"
        return self._pids[thing]

    def _listeners(self, name: str) -> tuple[Queue, ...]:
        vhost = self.core.vhosts.get(self._vhost or "")
        exchange = vhost.exchanges.get(EXCHANGE) if vhost is not None else None
        queues = exchange.resolve((name,)).queues if exchange is not None else ()
        if self.core.failure is not None:
            # Whatever happens goes on, although it cannot be kept that it did.
            queues = tuple([queue for queue in queues if not (queue.journaled or queue.in_log)])
        return queues

    def _publish(self, queues: tuple[Queue, ...], name: str, details: dict[str, Any], by: str | None) -> None:
        core = self.core
        now_ms = core.changes.now_ms
        headers = {header: value for header, value in details.items() if value is not None}
        who = self.acting if by is None else by
        said = Neutral(
            headers=headers | ({WHO: who} if who else {}) | {"timestamp_in_ms": now_ms},
            long_numbers=True,
            persistent=True,
            timestamp_s=now_ms // 1000,
        )
        origin = core.dialects.common
        assert origin is not None, "events are told by a broker that has a protocol"
        dialect = core.dialects.of(origin)
        assert dialect is not None, "the common dialect is always there"
        message = Message(Address(origin, EXCHANGE, name), b"", b"", now_ms, persistent=True)
        try:
            properties = dialect.write(said, message)
        except ValueError:
            # A parameter may have a value that no header can.
            plain = {header: _plain(value) for header, value in said.headers.items()}
            properties = dialect.write(msgspec.structs.replace(said, headers=plain), message)
        message = msgspec.structs.replace(message, properties=properties)
        core.publish(queues, [message], 0, persistent=True, expiring=False, prioritized=False)


def _plain(value: Any) -> Any:
    """A value that any header can have: what has parts or no bounds, as text."""
    is_large = isinstance(value, int) and not -LARGE_FROM <= value < LARGE_FROM
    return spelled(value) if is_large or isinstance(value, (dict, list, float)) else value
