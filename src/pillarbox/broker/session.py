"""A session: one logged-in user in one virtual host, through which a head asks for everything.

It checks permissions and ownership, then lets the virtual host or the queue act. Exclusive queues live
as long as their session. Not here: protocol state, tags, frames.

Source: RabbitMQ's table of operations and permissions; rows R40, R42, R63-R67, R92.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec

from pillarbox.broker.arguments import SELECTOR
from pillarbox.broker.auth import User
from pillarbox.broker.browse import BROWSE, Browser
from pillarbox.broker.choice import begin_choice
from pillarbox.broker.consumer import Consumer, Pool
from pillarbox.broker.events import NOBODY
from pillarbox.broker.exchange import Exchange, Route
from pillarbox.broker.index import ANY_MESSAGE, Envelope
from pillarbox.broker.lean import NO_LIST, with_one, without
from pillarbox.broker.outside import Vouched
from pillarbox.broker.permitted import demand_permitted
from pillarbox.broker.queue import Queue
from pillarbox.broker.vhost import (
    DEFAULT_EXCHANGE,
    demand_deletable,
    demand_not_default,
    demand_not_reserved,
)
from pillarbox.errors import BrokerError, Reason
from pillarbox.profiles import NEWEST, PASSIVE_WITHOUT_PERMISSION, Feature

if TYPE_CHECKING:
    from pillarbox.broker.auth import Principal
    from pillarbox.broker.client import Client, ClientChannel
    from pillarbox.broker.core import Core
    from pillarbox.broker.ledger import Ledger
    from pillarbox.broker.run import Run
    from pillarbox.broker.sink import Outlet, Sink
    from pillarbox.broker.vhost import VHost


REPLY_TO = "amq.rabbitmq.reply-to"
"""The name under which a requester consumes direct replies and that its requests carry (R70)."""


NO_ARGUMENTS: Mapping[str, Any] = {}
NO_VARIABLES: Mapping[str, str] = {}

NAME_SHOWN = 100
"""Characters of a name that the log shows: clients choose names."""


def _ignore(*_: object) -> None:
    pass


class Session:
    """See the module. `outlet` is the connection's way out; it is also the owner of exclusive queues."""

    __slots__ = (
        "__weakref__",
        "_noted",
        "_owns",
        "_permitted",
        "channels",
        "client_id",
        "core",
        "forget_routes",
        "head",
        "outlet",
        "trace",
        "user",
        "vhost",
    )

    def __init__(
        self, core: Core, user: Principal, vhost: VHost, outlet: Outlet, *, permitted: bool = False
    ) -> None:
        self.core = core
        self.user = user
        self.vhost = vhost
        self.outlet = outlet
        self.head: Client | None = None
        """The head's connection, for those who list or close connections; see `introduce`."""
        self.channels: Collection[ClientChannel] = NO_LIST
        """The open ones, in the order in which they were opened."""
        self.forget_routes: Callable[[], None] = _ignore
        """Called when the user's permissions have changed: routes resolved before may be forbidden now."""
        self.trace: Callable[[bool], None] = _ignore
        """Called when the virtual host's tracing is turned on or off (R75)."""
        self.client_id: str | None = None
        """What its head calls so: it stands for `{client_id}` in topic permissions."""
        self._permitted = permitted
        """It takes no permission to be here: see `Core.open_session`."""
        self._noted: Collection[Feature] = NO_LIST
        self._owns = False

    def __repr__(self) -> str:
        return f"<Session {self.user.name!r} in {self.vhost.name!r}>"

    def _demand(self, action: str, kind: str, name: str) -> None:
        self.core.events.acting = self.user.name
        self.core.users.demand(self.user, self.vhost.name, action, kind, name)

    def describe(self) -> str:
        """The client in words, for the operator."""
        return f"a client of user {self.user.name!r}" if self.head is None else self.head.describe()

    def demand_channel(self) -> None:
        """Refuse one channel too many (NOT_ALLOWED)."""
        self.core.quotas.demand_channel(self.user)

    def renew(self, user: Principal) -> None:
        """Go on as somebody with other rights. Raises NOT_ALLOWED if they do not lead here."""
        self.core.demand_entry(user, self.vhost.name, permitted=self._permitted)
        self.user = user
        self.forget_routes()
        if self.core.profile.renewal_ends_consumers:
            self._end_refused_consumers()

    def tags_changed(self, before: User, user: User) -> None:
        """A user that is kept here has other tags. If it is this one, they count from now on, beside those
        that others have given it."""
        if isinstance(self.user, User) and self.user.name == user.name:
            others = [tag for tag in self.user.tags if tag not in before.tags]
            self.user = msgspec.structs.replace(user, tags=tuple(dict.fromkeys((*others, *user.tags))))

    def _end_refused_consumers(self) -> None:
        """End consumers of queues that the user may not read, and tell them; what they have out stays out."""
        users, user, vhost = self.core.users, self.user, self.vhost
        refused = [
            consumer
            for channel in self.channels
            for consumer in channel.consumers.values()
            if consumer.queue.name in vhost.queues
            and not users.allows(user, vhost.name, "read", consumer.queue.name)
        ]
        self.cancel_all(refused)
        for consumer in refused:
            name = consumer.queue.name
            self.core.warn(
                f"{self.describe()} may not read queue {name!r} any more: its consumer is cancelled"
            )
            consumer.sink.consumer_cancelled(consumer)

    def introduce(self, client: Client) -> None:
        """Say whose session it is. One that nobody introduces is no connection, and in no list."""
        self.head = client
        self.core.churn.connection_created += 1
        self.core.events.tell("connection.created", self, by=self.user.name)

    def add_channel(self, channel: ClientChannel) -> None:
        """Note that a channel was opened."""
        self.channels = with_one(self.channels, channel)
        self.core.churn.channel_created += 1
        self.core.events.tell("channel.created", self, channel, by=self.user.name)

    def remove_channel(self, channel: ClientChannel) -> None:
        """Note that it is closed, if that was not known yet. What it has counted stays counted."""
        if channel in self.channels:
            self.channels = without(self.channels, channel)
            self.core.churn.channel_closed += 1
            self.vhost.past_channels.add(channel.counters)
            self.core.events.tell("channel.closed", channel, by=self.user.name)

    def _demand_topics(self, action: str, exchange: Exchange | None, keys: tuple[str, ...]) -> None:
        """Refuse routing keys that topic permissions withhold (R93)."""
        if exchange is not None and exchange.kind == "topic":
            variables = NO_VARIABLES if self.client_id is None else {"client_id": self.client_id}
            self.core.users.demand_topics(self.user, self.vhost.name, exchange.name, action, keys, variables)

    def permits(self, feature: Feature, name: str = "") -> bool:
        """May clients do this, with the thing of this name? If so, the operator hears of it once (I7)."""
        if feature in self.core.profile.refused:
            return False
        if feature not in self._noted:
            self._noted = (*self._noted, feature)
            thing = f" ({name[:NAME_SHOWN]!r})" if name else ""
            self.core.warn(f"{self.describe()} {feature.done}{thing}: {NEWEST} {feature.refused}")
        return True

    def _demand_any(self, kind: str, name: str) -> None:
        """See that the user has some permission on what it asks for."""
        actions = ("read", "write", "configure")
        users, user, vhost = self.core.users, self.user, self.vhost.name
        if isinstance(user, Vouched) and PASSIVE_WITHOUT_PERMISSION not in self.core.profile.refused:
            return  # It would be asked about three times for the sake of a warning.
        if not any(users.allows(user, vhost, action, name, kind) for action in actions) and not self.permits(
            PASSIVE_WITHOUT_PERMISSION, name
        ):
            self._demand("configure", kind, name)

    def close(self) -> None:
        """Delete the exclusive queues. Consumers and deliveries are the head's to end first."""
        owned = [queue for queue in self.vhost.queues.values() if queue.owner is self] if self._owns else []
        for queue in owned:
            self.vhost.remove_queue(queue)
        self.forget_routes = self.trace = _ignore
        if self.core.sessions.pop(self, self) is None and self.head is not None:
            self.core.churn.connection_closed += 1
            self.vhost.past_traffic.add(self.head.traffic)
            self.core.events.tell("connection.closed", self.head, by=NOBODY)

    def part(self) -> None:
        """It is closed, and its connection is gone: keep nothing of that alive any longer.

        Else both would wait until the collector looks at what is old.
        """
        self.head = None
        del self.outlet

    # --- exchanges ---------------------------------------------------------------------------------

    def declare_exchange(
        self, name: str, kind: str, *, arguments: Mapping[str, Any] = NO_ARGUMENTS, **attributes: bool
    ) -> Exchange:
        """Make or check an exchange; see `VHost.declare_exchange`."""
        demand_not_default(name)
        self._demand("configure", "exchange", name)

        def permit(arguments: Mapping[str, Any]) -> None:
            if "alternate-exchange" in arguments:
                self._demand("read", "exchange", name)
                self._demand("write", "exchange", arguments["alternate-exchange"])

        return self.vhost.declare_exchange(name, kind, arguments=arguments, permit=permit, **attributes)

    def find_exchange(self, name: str) -> Exchange:
        """The exchange, for a passive declaration."""
        demand_not_default(name)
        self._demand_any("exchange", name)
        return self.vhost.exchange(name)

    def demand_exchange(self, action: str, name: str) -> None:
        """Refuse what the user may not do with an exchange, whether it is there or not."""
        self._demand(action, "exchange", name)

    def demand_queue(self, action: str, name: str) -> None:
        """The same of a queue."""
        self._demand(action, "queue", name)

    def delete_exchange(self, name: str, *, if_unused: bool) -> None:
        demand_deletable(name, self.vhost.name)
        self._demand("configure", "exchange", name)
        self.vhost.delete_exchange(name, if_unused=if_unused)

    def bind_exchange(
        self, destination: str, source: str, key: str, arguments: Mapping[str, Any], *, add: bool
    ) -> None:
        """Bind (or, with `add` false, unbind) an exchange to an exchange."""
        # In RabbitMQ's order.
        self._demand("write", "exchange", destination)
        demand_not_default(destination)
        demand_not_default(source)
        self._demand("read", "exchange", source)
        vhost = self.vhost
        self._demand_topics("read", vhost.exchanges.get(source), (key,))
        if not add and (destination not in vhost.exchanges or source not in vhost.exchanges):
            return
        change = vhost.bind if add else vhost.unbind
        change(vhost.exchange(source), vhost.exchange(destination), key, arguments)

    # --- queues ------------------------------------------------------------------------------------

    def declare_queue(
        self,
        name: str,
        *,
        durable: bool = False,
        exclusive: bool = False,
        auto_delete: bool = False,
        arguments: Mapping[str, Any] = NO_ARGUMENTS,
    ) -> Queue:
        """Make or check a queue; see `VHost.declare_queue`."""
        if name:
            demand_not_reserved("queue", name)
        elif (kind := arguments.get("x-queue-type")) in ("quorum", "stream"):
            text = f"Cannot declare a server-named queue for type rabbit_{kind}_queue"
            raise BrokerError(Reason.PRECONDITION_FAILED, text)
        else:
            name = self.core.unique_name("amq.gen-")
        self._demand("configure", "queue", name)
        dead_letters = arguments.get("x-dead-letter-exchange")
        if isinstance(dead_letters, str):
            self._demand("read", "queue", name)
            self._demand("write", "exchange", dead_letters)
        self._owns = self._owns or exclusive

        def permit() -> None:
            demand_permitted(self, name, arguments, durable=durable, exclusive=exclusive)

        return self.vhost.declare_queue(
            self,
            name,
            durable=durable,
            exclusive=exclusive,
            auto_delete=auto_delete,
            arguments=arguments,
            permit=permit,
        )

    def find_queue(self, name: str) -> Queue:
        """The queue, for a passive declaration."""
        self._demand_any("queue", name)
        queue = self.vhost.queue_for(self, name)
        self.core.attend(queue)
        return queue

    def demand_deletable(self, name: str) -> None:
        """Refuse to delete a queue that the user may not delete, before anything is done."""
        self._demand("configure", "queue", name)

    def delete_queue(self, name: str, *, if_unused: bool, if_empty: bool) -> int:
        self._demand("configure", "queue", name)
        return self.vhost.delete_queue(self, name, if_unused=if_unused, if_empty=if_empty)

    def purge_queue(self, name: str) -> int:
        self._demand("read", "queue", name)
        return self.vhost.queue_for(self, name).purge()

    def bind_queue(
        self, queue: str, source: str, key: str, arguments: Mapping[str, Any], *, add: bool
    ) -> None:
        """Bind (or, with `add` false, unbind) a queue to an exchange."""
        # In RabbitMQ's order.
        self._demand("write", "queue", queue)
        demand_not_default(source)
        self._demand("read", "exchange", source)
        vhost = self.vhost
        self._demand_topics("read", vhost.exchanges.get(source), (key,))
        if add:
            exchange = vhost.exchange(source)
            vhost.bind(exchange, vhost.queue_for(self, queue), key, arguments)
        elif queue in vhost.queues and source in vhost.exchanges:
            exchange, destination = vhost.exchange(source), vhost.queue(queue)
            # Only a binding that exists is locked with its queue.
            if vhost.is_bound(exchange, destination, key, arguments):
                vhost.unbind(exchange, vhost.queue_for(self, queue), key, arguments)

    def make_reply_queue(self, prefix: str) -> str:
        """Make a queue for direct replies to this session (R70) and return its name."""
        name = self.core.unique_name(prefix)
        queue = Queue(self.core.changes, self.core.take_uid(), name, owner=self)
        self.vhost.reply_queues[name] = queue
        return name

    def drop_reply_queue(self, name: str) -> None:
        """Forget a queue for direct replies and what waits in it."""
        queue = self.vhost.reply_queues.pop(name, None)
        if queue is not None:
            queue.close()

    def is_reply_queue(self, name: str) -> bool:
        """Does this name stand for a queue of direct replies, its own short name included?"""
        return name == REPLY_TO or name in self.vhost.reply_queues

    # --- messages ----------------------------------------------------------------------------------

    def route(
        self, exchange: str, keys: tuple[str, ...], envelope: Envelope = ANY_MESSAGE
    ) -> tuple[Exchange | None, Route]:
        """Where a publish by this user goes; the exchange is None for the default one.

        Without an envelope: where one may go. Whoever has a message and a `per_message` route asks again.

        Raises NOT_FOUND for a missing exchange, ACCESS_REFUSED without the right to write or for an
        internal exchange.
        """
        self._demand("write", "exchange", exchange)
        if exchange == DEFAULT_EXCHANGE:
            return None, self.vhost.resolve_default(keys)
        target = self.vhost.exchange(exchange)
        if target.internal:
            text = f"cannot publish to internal exchange '{exchange}' in vhost '{self.vhost.name}'"
            raise BrokerError(Reason.ACCESS_REFUSED, text)
        if target.kind == "topic" and self.core.users.looks_at_topics(self.user):
            self._demand_topics("write", target, keys)
        return target, target.resolve(keys, envelope)

    def consume(
        self,
        name: str,
        sink: Sink,
        ledger: Ledger,
        *,
        tag: str,
        no_ack: bool,
        exclusive: bool,
        prefetch: int,
        pool: Pool,
        priority: int,
        arguments: Mapping[str, Any],
        on_end: Callable[[], None] | None = None,
    ) -> Consumer:
        """Begin to receive from a queue. Raises ACCESS_REFUSED if exclusive use stands against it.

        `on_end`: what to do when a browser was shown everything; otherwise it is cancelled.
        """
        queue = self.vhost.reply_queues.get(name)
        if queue is None or queue.owner is not self:
            # Whoever answers a request knows its name, but the answers of others are none of theirs.
            self._demand("read", "queue", name)
            queue = self.vhost.queue_for(self, name)
        queue.check_consumer(self.vhost.name, arguments, no_ack=no_ack, prefetch=prefetch, pool=pool)
        selector = None
        if arguments.get(SELECTOR) and not queue.in_log:
            from pillarbox.broker.selectors import compile_selector

            selector = compile_selector(arguments[SELECTOR])
        if pool.is_limited and queue.arguments.get("x-queue-type") == "quorum":
            text = f"queue '{name}' in vhost '{self.vhost.name}' does not support global qos"
            raise BrokerError(Reason.NOT_IMPLEMENTED, text)
        if queue.shows and not no_ack:
            text = (
                f"queue '{name}' in vhost '{self.vhost.name}' shows its messages: they are not acknowledged"
            )
            raise BrokerError(Reason.PRECONDITION_FAILED, text)
        browses = bool(arguments.get(BROWSE))
        if browses and queue.in_log:
            text = f"queue '{name}' in vhost '{self.vhost.name}' is a stream, which nobody has to browse"
            raise BrokerError(Reason.PRECONDITION_FAILED, text)
        if browses and not no_ack:
            text = f"queue '{name}' in vhost '{self.vhost.name}' cannot be browsed with acknowledgements"
            raise BrokerError(Reason.PRECONDITION_FAILED, text)
        if not (queue.in_log or browses) and (
            (exclusive and (queue.consumers or queue.single_active))
            or (queue.consumers and queue.consumers[0].exclusive)
        ):
            text = f"queue '{name}' in vhost '{self.vhost.name}' in exclusive use"
            raise BrokerError(Reason.ACCESS_REFUSED, text)
        consumer = Consumer(
            queue,
            sink,
            self.outlet,
            ledger,
            tag=tag,
            no_ack=no_ack,
            exclusive=exclusive,
            prefetch=prefetch,
            pool=pool,
            priority=priority,
            arguments=arguments,
            selector=selector,
        )
        if browses:
            end = partial(sink.consumer_cancelled, consumer) if on_end is None else on_end
            consumer.browser = Browser(self.core, consumer, end)
            return consumer
        if selector is not None:
            begin_choice(queue, self.core.dialects).selects = True
        queue.add_consumer(consumer)
        if queue.name not in self.vhost.reply_queues:
            self.core.events.tell("consumer.created", self.vhost.name, consumer)
        queue.used_ms = self.core.changes.now_ms
        queue.wake()
        return consumer

    def cancel(self, consumer: Consumer) -> None:
        """End a consumer; what is out stays out. An auto-delete queue goes with its last consumer (R40)."""
        self.cancel_all((consumer,))

    def cancel_all(self, consumers: Iterable[Consumer]) -> None:
        """End consumers. Cost: one walk through the consumers of each of their queues."""
        self.core.events.acting = self.user.name
        by_queue: dict[Queue, set[Consumer]] = {}
        for consumer in consumers:
            if consumer.browser is not None:
                consumer.browser.stop()
            by_queue.setdefault(consumer.queue, set()).add(consumer)
        for queue, ended in by_queue.items():
            if queue.deleted or not queue.remove_consumers(ended):
                continue
            for consumer in ended:
                if queue.name not in self.vhost.reply_queues:
                    self.core.events.tell("consumer.deleted", self.vhost.name, consumer, by=self.user.name)
                # What it has out may still be settled, but its turn never comes again.
                consumer.blocked = 0
            queue.used_ms = self.core.changes.now_ms
            if queue.auto_delete and not queue.consumers:
                self.vhost.remove_queue(queue)

    def get(self, name: str, ledger: Ledger, *, no_ack: bool) -> tuple[Queue, Run, int] | None:
        """Take one message: the queue, a run of one and its tag; None if the queue is empty.

        Raises Deferred if there are messages, but on disk or on their way back.
        """
        self._demand("read", "queue", name)
        queue = self.vhost.queue_for(self, name)
        if queue.single_active:
            self._demand_gettable(queue)
        queue.used_ms = self.core.changes.now_ms
        if queue.held:
            raise Deferred(queue)
        self.core.attend(queue)
        run = queue.take(1)
        if queue.timed:
            # Another message stands at the head now: if its time is over it does not count any more, unless
            # it is over just now and consumers are to have their chance.
            queue.expire(at_once=not queue.consumers)
            queue.wake()
        if run is None:
            if queue.ready_count and queue.unreadable:
                raise BrokerError(Reason.INTERNAL_ERROR, f"messages of queue '{name}' cannot be read")
            if queue.ready_count:
                raise Deferred(queue)
            queue.counters.get_empty += 1
            ledger.counters.get_empty += 1
            return None
        ledger.counters.redeliver += run.redelivered
        if no_ack:
            queue.counters.get_no_ack += 1
            ledger.counters.get_no_ack += 1
            tag = ledger.skip(1, run)
            run.lane.settle_unanswered(run)
        else:
            queue.counters.get += 1
            ledger.counters.get += 1
            tag = ledger.add(None, run)
            run.lane.delivered(run)
        return queue, run, tag

    def _demand_gettable(self, queue: Queue) -> None:
        """A quorum queue gives its messages to the single active consumer only (R51)."""
        if queue.arguments.get("x-queue-type") == "quorum":
            text = (
                f"cannot obtain access to locked queue '{queue.name}' in vhost '{self.vhost.name}'. "
                "basic.get operations are not supported by quorum queues with single active consumer"
            )
            raise BrokerError(Reason.RESOURCE_LOCKED, text)


class Deferred(Exception):
    """The answer needs messages that are to come; ask again when the queue has them (`when_loaded`)."""

    def __init__(self, queue: Queue) -> None:
        super().__init__(queue.name)
        self.queue = queue
