"""A virtual host: a name space of exchanges, queues and bindings, and the rules for changing it.

Declares, deletes and binds, checks equivalence and ownership, and notes durable definitions. Permissions
are checked by the caller (`session`), who knows the user. Not here: routing itself, messages.

Source: AMQP 0-9-1 classes exchange and queue; rows R20-R25, R30, R31, R40-R45, R56, R57.
Invariant: a binding exists only while both its ends do.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from pillarbox.broker import definitions as kept
from pillarbox.broker.arguments import (
    COMPARED_QUEUE_ARGUMENTS,
    EXCHANGE_ARGUMENTS,
    check_exchange_arguments,
    check_queue_arguments,
    check_queue_type,
    demand_equal,
)
from pillarbox.broker.choice import MESSAGE_GROUPS, begin_choice, keep_by
from pillarbox.broker.counters import ChannelCounters, ExchangeCounters, TrafficCounters
from pillarbox.broker.deadletter import DeadLetterRule
from pillarbox.broker.event_details import INTERNAL, DefaultExchange
from pillarbox.broker.eviction import equip
from pillarbox.broker.exchange import TOPICS, Binding, Exchange, Route, binding_identity
from pillarbox.broker.expiry import QueueExpiry
from pillarbox.broker.lean import NO_DICT, with_one, without
from pillarbox.broker.limits import REJECT_PUBLISH
from pillarbox.broker.permitted import adapt
from pillarbox.broker.policy import Applied, Policies, Policy, check_policy, effective
from pillarbox.broker.queue import Queue
from pillarbox.broker.routing import KINDS
from pillarbox.broker.run import message_bytes_of
from pillarbox.broker.stream import StreamQueue
from pillarbox.broker.super_stream import is_super_stream
from pillarbox.broker.topics import Topics
from pillarbox.engine.base import NO_EXPIRATION
from pillarbox.errors import BrokerError, Reason

if TYPE_CHECKING:
    from pillarbox.broker.chores import Parts
    from pillarbox.broker.core import Core
    from pillarbox.broker.history import Remembered
    from pillarbox.broker.index import Envelope
    from pillarbox.broker.interception import Interception

DEFAULT_EXCHANGE = ""
TRACE_EXCHANGE = "amq.rabbitmq.trace"
"""Where copies of messages go while tracing is on (R75)."""
PREDECLARED = {
    "amq.direct": "direct",
    TOPICS: "topic",
    "amq.match": "headers",
    "amq.headers": "headers",
    "amq.fanout": "fanout",
    TRACE_EXCHANGE: "topic",
}
RESERVED_PREFIX = "amq."
_POLICY_KINDS = ("policy", "operator_policy")
REMOVED_AT_ONCE = 50
"""Queues, exchanges and bindings of a virtual host that go in one tick: some 15 microseconds each."""
STREAM_WEIGHT = 10
"""As how many of these a stream counts, which has files."""
GOVERNED_AT_ONCE = 100
"""Queues to which a change of policies is applied in one tick: five to ten microseconds each."""


class VHost:
    """See the module."""

    def __init__(self, core: Core, name: str) -> None:
        self._core = core
        self.name = name
        self.description = ""
        self.tags: tuple[str, ...] = ()
        self.default_queue_type = ""
        """What a queue is that does not say so and could be it; "": classic."""
        self.protected = False
        """It cannot be removed."""
        self.closing = False
        """It is being removed, over some ticks: nobody enters it, and none of its name can be made."""
        self.tracing = False
        """Copies of messages are published (R75); set by `Core.set_tracing`."""
        self.interception: Interception | None = None
        """Where else messages go that are published to a queue (A26); None: nowhere."""
        self.watchers: list[Callable[[Queue], None]] = []
        """Who wants to hear of each new queue, which is not complete yet."""
        self.queues: dict[str, Queue] = {}
        self.topics = Topics(core, self)
        """Its streams, as those see them who know topics."""
        self.exchanges: dict[str, Exchange] = {}
        self.default_exchange = ExchangeCounters()
        """What went through the exchange that has no name and is no object."""
        self.past_channels = ChannelCounters()
        """What channels have counted that are closed."""
        self.past_traffic = TrafficCounters()
        """What connections have counted that are closed."""
        self.reply_queues: dict[str, Queue] = {}
        """Queues of direct replies: reached by name through the default exchange, and in no listing."""
        self.inbound: dict[Queue | Exchange, Collection[Binding]] = {}
        """The bindings that lead to each destination."""
        self.policies, self.operator_policies = Policies(), Policies()
        self._naming: dict[str, dict[Exchange, None]] = {}
        """Exchanges by the name of their alternate, whether that exists or not (R25)."""
        core.events.tell("exchange.created", name, DefaultExchange)
        for exchange, kind in PREDECLARED.items():
            self._add_exchange(exchange, kind, durable=True, internal=exchange == TRACE_EXCHANGE)

    def __repr__(self) -> str:
        return f"<VHost {self.name!r} queues={len(self.queues)} exchanges={len(self.exchanges)}>"

    def definition(self) -> kept.VhostDefinition:
        """What is kept of it."""
        return kept.VhostDefinition(
            self.name, self.description, self.tags, self.default_queue_type, self.protected
        )

    def close(self) -> Parts:
        """Remove everything in it: it is being removed itself. Nobody comes in any more."""
        self.closing = True
        done = 0
        while self.queues or self.exchanges:
            if self.queues:
                queue = next(iter(self.queues.values()))
                done += STREAM_WEIGHT if queue.in_log else 1 + len(self.inbound.get(queue, ()))
                self.remove_queue(queue, asked=True)
            else:
                exchange = next(iter(self.exchanges.values()))
                done += 1 + len(exchange.bindings)
                self._remove_exchange(exchange, self._core.events.acting)
            if done >= REMOVED_AT_ONCE:
                done = 0
                yield
        self._core.events.tell("exchange.deleted", self.name, DefaultExchange.name)
        for operator in (False, True):
            for policy in list(self._policies(operator)):
                self.remove_policy(policy.name, operator=operator)

    def bequeath(self) -> None:
        """Leave what was counted here to the broker, also by those who are still on their way out."""
        core = self._core
        core.past_channels.add(self.past_channels)
        core.past_traffic.add(self.past_traffic)
        self.past_channels, self.past_traffic = core.past_channels, core.past_traffic

    # --- looking up --------------------------------------------------------------------------------

    def exchange(self, name: str) -> Exchange:
        """The exchange of this name; BrokerError(NOT_FOUND) if there is none."""
        try:
            return self.exchanges[name]
        except KeyError:
            text = f"no exchange '{name}' in vhost '{self.name}'"
            raise BrokerError(Reason.NOT_FOUND, text) from None

    def queue(self, name: str) -> Queue:
        """The queue of this name; BrokerError(NOT_FOUND) if there is none."""
        try:
            return self.queues[name]
        except KeyError:
            text = f"no queue '{name}' in vhost '{self.name}'"
            raise BrokerError(Reason.NOT_FOUND, text) from None

    def queue_for(self, owner: object, name: str) -> Queue:
        """The queue, unless another connection has it exclusively (RESOURCE_LOCKED)."""
        queue = self.queue(name)
        if queue.owner is not None and queue.owner is not owner:
            raise self._locked(name)
        return queue

    def _locked(self, name: str) -> BrokerError:
        text = (
            f"cannot obtain exclusive access to locked queue '{name}' in vhost '{self.name}'. It could "
            "be originally declared on another connection or the exclusive property value does not "
            "match that of the original declaration."
        )
        return BrokerError(Reason.RESOURCE_LOCKED, text)

    def resolve_default(self, keys: tuple[str, ...]) -> Route:
        """Route through the default exchange: to the queue of that name (R20).

        The route of a missing queue must not be kept: its stamp is invalid.
        """
        found = [self.queues.get(key) or self.reply_queues.get(key) for key in keys]
        queues = tuple(dict.fromkeys(queue for queue in found if queue is not None))
        stamp = queues[0].stamp if len(queues) == 1 == len(keys) else _NEVER
        if self.interception is not None:
            queues = self.interception.of_queues(keys, queues)
        return Route(queues, stamp)

    def has_exchange(self, name: str) -> bool:
        """Is there an exchange of this name? The default one always is."""
        return name == DEFAULT_EXCHANGE or name in self.exchanges

    def route(self, exchange: str, keys: tuple[str, ...], envelope: Envelope) -> Route:
        """Where an exchange leads, the default one included; NOT_FOUND for a missing one."""
        if exchange == DEFAULT_EXCHANGE:
            return self.resolve_default(keys)
        return self.exchange(exchange).resolve(keys, envelope)

    # --- exchanges ---------------------------------------------------------------------------------

    def declare_exchange(
        self,
        name: str,
        kind: str,
        *,
        durable: bool = False,
        auto_delete: bool = False,
        internal: bool = False,
        arguments: Mapping[str, Any] | None = None,
        permit: Callable[[Mapping[str, Any]], None] = lambda arguments: None,
    ) -> Exchange:
        """Make an exchange, or check that the one of this name is the same (PRECONDITION_FAILED).

        `permit` may refuse a new exchange for its arguments, when these are known to be of the right types.
        """
        arguments = arguments or {}
        demand_not_default(name)
        if kind not in KINDS:
            raise BrokerError(Reason.PRECONDITION_FAILED, f"unknown exchange type '{kind}'")
        existing = self.exchanges.get(name)
        if existing is not None:
            self._demand_same_exchange(existing, kind, durable, auto_delete, internal, arguments)
            return existing
        demand_not_reserved("exchange", name)
        check_exchange_arguments(name, self.name, arguments)
        permit(arguments)
        KINDS[kind].check(name, self.name, arguments)
        if durable:
            self._core.demand_storage()
        exchange = self._add_exchange(
            name, kind, durable=durable, auto_delete=auto_delete, internal=internal, arguments=arguments
        )
        self._core.schedules.add(self, exchange)
        if durable:
            definition = kept.ExchangeDefinition(
                self.name, name, kind, auto_delete, internal, exchange.arguments
            )
            self._core.define("exchange", kept.key_of(self.name, name), definition)
        return exchange

    def _add_exchange(
        self,
        name: str,
        kind: str,
        *,
        durable: bool,
        auto_delete: bool = False,
        internal: bool = False,
        arguments: Mapping[str, Any] | None = None,
    ) -> Exchange:
        exchange = Exchange(
            name,
            kind,
            durable=durable,
            auto_delete=auto_delete,
            internal=internal,
            arguments=arguments,
            random=self._core.random,
            hold=self._core.changes.hold,
        )
        self.exchanges[name] = exchange
        if is_super_stream(exchange):
            self.topics.look_at(name)
        self._govern_exchange(exchange, self._applied_to("exchange", name))
        for source in self._naming.get(name, ()):
            source.set_alternate(exchange)
        self._core.events.tell("exchange.created", self.name, exchange)
        return exchange

    def provide_exchange(self, name: str) -> None:
        """See that there is an internal topic exchange of the broker's own."""
        if name not in self.exchanges:
            self._add_exchange(name, "topic", durable=True, internal=True)
            definition = kept.ExchangeDefinition(self.name, name, "topic", False, True, {})
            self._core.define("exchange", kept.key_of(self.name, name), definition)

    def _demand_same_exchange(
        self,
        exchange: Exchange,
        kind: str,
        durable: bool,
        auto_delete: bool,
        internal: bool,
        arguments: Mapping[str, Any],
    ) -> None:
        pairs = (
            ("type", kind, exchange.kind),
            ("durable", durable, exchange.durable),
            ("auto_delete", auto_delete, exchange.auto_delete),
            ("internal", internal, exchange.internal),
        )
        _demand_pairs("exchange", exchange.name, self.name, pairs)
        demand_equal(
            "exchange", exchange.name, self.name, arguments, exchange.arguments, only=EXCHANGE_ARGUMENTS
        )

    def delete_exchange(self, name: str, *, if_unused: bool = False) -> None:
        """Delete an exchange and its bindings; a missing one is no error."""
        demand_deletable(name, self.name)
        exchange = self.exchanges.get(name)
        if exchange is None:
            return
        if if_unused and exchange.bindings:
            text = f"exchange '{name}' in vhost '{self.name}' in use"
            raise BrokerError(Reason.PRECONDITION_FAILED, text)
        self._remove_exchange(exchange, self._core.events.acting)

    def _remove_exchange(self, exchange: Exchange, by: str) -> None:
        del self.exchanges[exchange.name]
        self.topics.forget(exchange.name)
        if exchange.history is not None:
            exchange.history.clear()
        self._core.schedules.remove(exchange)
        exchange.invalidate()
        self._core.events.tell("exchange.deleted", self.name, exchange.name, by=by)
        for binding in list(exchange.bindings.values()):
            self._unlink(binding)
            self._core.events.tell("binding.deleted", self.name, binding, by=by)
        for source in self._naming.get(exchange.name, ()):
            source.set_alternate(None)
        self._name_alternate(exchange, None)
        self._remove_inbound(exchange, by)
        if exchange.durable:
            self._core.undefine("exchange", kept.key_of(self.name, exchange.name))

    def _govern_exchange(self, exchange: Exchange, applied: Applied) -> None:
        """Have an exchange work by its arguments and these policies."""
        exchange.applied = applied
        self._name_alternate(exchange, effective(exchange.arguments, applied).get("alternate-exchange"))

    def _name_alternate(self, exchange: Exchange, name: str | None) -> None:
        """Have what an exchange cannot route go to the exchange of this name, while there is one."""
        former = exchange.alternate_name
        if former is not None:
            del self._naming[former][exchange]
            if not self._naming[former]:
                del self._naming[former]
        exchange.alternate_name = name
        if name is not None:
            self._naming.setdefault(name, {})[exchange] = None
        exchange.set_alternate(None if name is None else self.exchanges.get(name))

    # --- queues ------------------------------------------------------------------------------------

    def declare_queue(
        self,
        owner: object,
        name: str,
        *,
        durable: bool = False,
        exclusive: bool = False,
        auto_delete: bool = False,
        arguments: Mapping[str, Any] | None = None,
        default_type: str | None = None,
        permit: Callable[[], None] = lambda: None,
    ) -> Queue:
        """Make a queue, or check that the one of this name is the same (PRECONDITION_FAILED).

        The caller has seen to the name: that it is not reserved, or made by the broker. `default_type`: what
        it is if its arguments do not say so, instead of what is usual here ("": classic). `permit` may refuse
        a new queue when its arguments are known to be good.
        """
        arguments = arguments or {}
        usual = self.default_queue_type if default_type is None else default_type
        if usual and durable and not exclusive and not auto_delete:
            arguments = {"x-queue-type": usual, **arguments}
        existing = self.queues.get(name)
        if existing is not None:
            self._demand_same_queue(existing, owner, durable, exclusive, auto_delete, arguments)
            existing.used_ms = self._core.changes.now_ms
            return existing
        check_queue_arguments(name, self.name, arguments)
        check_queue_type(
            name, self.name, arguments, durable=durable, exclusive=exclusive, auto_delete=auto_delete
        )
        permit()
        self._core.quotas.demand_queue(self, name)
        if durable and not exclusive:
            self._core.demand_storage()
        queue = self._add_queue(
            self._core.take_uid(), name, durable, auto_delete, owner if exclusive else None, arguments
        )
        self._core.churn.queue_declared += 1
        self._core.churn.queue_created += 1
        self._core.events.tell("queue.created", self.name, queue)
        if queue.durable and queue.owner is None:
            definition = kept.QueueDefinition(self.name, name, auto_delete, queue.arguments)
            self._core.define("queue", str(queue.uid), definition)
        return queue

    def has_dead_letter_policy(self, name: str) -> bool:
        """Does a policy say where dead letters of a queue of this name go?"""
        settings = effective({}, self._applied_to("classic", name))
        return "x-dead-letter-exchange" in settings

    def keep_groups(self, queue: Queue) -> None:
        """Let the groups of a queue's messages count from now on, also after a restart (A28)."""
        choice = begin_choice(queue, self._core.dialects)
        if choice.keeps_groups:
            return
        choice.keeps_groups = True
        if queue.durable and queue.owner is None:
            definition = kept.QueueDefinition(self.name, queue.name, queue.auto_delete, queue.arguments, True)
            self._core.define("queue", str(queue.uid), definition)

    def _add_queue(
        self,
        uid: int,
        name: str,
        durable: bool,
        auto_delete: bool,
        owner: object | None,
        arguments: Mapping[str, Any],
    ) -> Queue:
        queue = self._make_queue(uid, name, durable, auto_delete, owner, arguments)
        self.queues[name] = queue
        if queue.in_log:
            self.topics.look_at(name)
        for watch in self.watchers:
            watch(queue)
        self._govern_queue(queue, self._applied_to(queue.kind, name))
        if queue.arguments.get(MESSAGE_GROUPS) and not queue.in_log:
            begin_choice(queue, self._core.dialects).keeps_groups = True
        return queue

    def _make_queue(
        self,
        uid: int,
        name: str,
        durable: bool,
        auto_delete: bool,
        owner: object | None,
        arguments: Mapping[str, Any],
    ) -> Queue:
        core = self._core
        if arguments.get("x-queue-type") == "stream":
            return StreamQueue(core.changes, uid, name, core.streams, self.name, arguments=arguments)
        return Queue(
            core.changes,
            uid,
            name,
            durable=durable,
            auto_delete=auto_delete,
            owner=owner,
            arguments=arguments,
            priority_max=arguments.get("x-max-priority", 0),
            single_active=arguments.get("x-single-active-consumer", False),
        )

    def _govern_queue(self, queue: Queue, applied: Applied) -> None:
        """Have a queue work by its arguments and these policies."""
        settings = effective(queue.arguments, applied)
        expires_ms, ttl_ms = queue.expires_ms, queue.ttl_ms
        queue.applied = applied
        queue.adopt(settings, self._dead_letters(settings))
        if queue.ttl_ms != ttl_ms and queue.journaled:
            self._define_lifetimes(queue)
        equip(queue, settings, self._core.dialects.said)
        keep_by(queue, settings, self._core.dialects)
        adapt(queue, settings, self._core.profile)
        self._core.undelivered.settings_changed(queue)
        if queue.expires_ms not in (None, expires_ms):
            queue.used_ms = self._core.changes.now_ms
            expiry = queue.expiry = QueueExpiry(self._core.scheduler, queue, self.remove_queue)
            expiry.start()

    def _define_lifetimes(self, queue: Queue) -> None:
        """Keep how long what waits lives, where the queue had another time to live before."""
        for lane in queue.lanes:
            if lane.lifetimes:
                self._core.define("lifetimes", str(lane.uid), kept.LifetimesDefinition(lane.lifetimes))
            elif lane.sequence_next:
                # Otherwise the queue is being made, and what is kept of it may not be known yet.
                self._core.undefine("lifetimes", str(lane.uid))

    def _dead_letters(self, settings: Mapping[str, Any]) -> DeadLetterRule | None:
        """Where the settings of a queue say that its dead letters go (R48)."""
        exchange = settings.get("x-dead-letter-exchange")
        if exchange is None:
            return None
        at_least_once = (
            settings.get("x-queue-type") == "quorum"
            and settings.get("x-dead-letter-strategy") == "at-least-once"
            # Without it RabbitMQ falls back to at most once, as a full queue would drop from its head.
            and settings.get("x-overflow") == REJECT_PUBLISH
        )
        return DeadLetterRule(
            self,
            exchange,
            settings.get("x-dead-letter-routing-key"),
            at_least_once,
            settings.get("x-dead-letter-transient", True),
            settings.get("x-dead-letter-expired", True),
            settings.get("x-dead-letter-dropped", True),
            settings.get("x-dead-letter-once", False),
        )

    def _demand_same_queue(
        self,
        queue: Queue,
        owner: object,
        durable: bool,
        exclusive: bool,
        auto_delete: bool,
        arguments: Mapping[str, Any],
    ) -> None:
        # In RabbitMQ's order: who has it, the attributes, the arguments.
        self.queue_for(owner, queue.name)
        if exclusive != (queue.owner is not None):
            raise self._locked(queue.name)
        pairs = (
            # Whether a queue that dies with its connection is durable makes no difference.
            ("durable", durable or exclusive, queue.durable or exclusive),
            ("auto_delete", auto_delete, queue.auto_delete),
        )
        _demand_pairs("queue", queue.name, self.name, pairs)
        demand_equal(
            "queue", queue.name, self.name, arguments, queue.arguments, only=COMPARED_QUEUE_ARGUMENTS
        )

    def delete_queue(
        self, owner: object, name: str, *, if_unused: bool = False, if_empty: bool = False
    ) -> int:
        """Delete a queue and return how many messages were ready; a missing one is no error (R56)."""
        if name not in self.queues:
            return 0
        queue = self.queue_for(owner, name)
        for condition, fault in (
            (if_unused and bool(queue.consumers), "in use"),
            (if_empty and bool(queue.ready_count + queue.delayed_count), "not empty"),
        ):
            if condition:
                text = f"queue '{name}' in vhost '{self.name}' {fault}"
                raise BrokerError(Reason.PRECONDITION_FAILED, text)
        count = queue.ready_count
        self.remove_queue(queue, asked=True)
        return count

    def remove_queue(self, queue: Queue, *, asked: bool = False) -> None:
        """Delete a queue, its bindings, and tell its consumers. `asked`: whoever acts has asked for it."""
        if queue.dead_letters is not None:
            # What has died by now does not die with it.
            self._core.dead_letters.forward_all(queue)
        self._core.undelivered.remove(queue)
        del self.queues[queue.name]
        self._core.churn.queue_deleted += 1
        dismissed = queue.dismiss_consumers()
        for consumer in dismissed:
            self._core.events.tell("consumer.deleted", self.name, consumer)
        self._remove_inbound(queue, INTERNAL)
        if queue.durable and queue.owner is None:
            self._core.undefine("queue", str(queue.uid))
            for lane in queue.lanes:
                self._core.undefine("lane", str(lane.uid))
                self._core.undefine("lifetimes", str(lane.uid))
        self._core.events.tell("queue.deleted", self.name, queue, by=None if asked else INTERNAL)
        for consumer in dismissed:
            consumer.sink.consumer_cancelled(consumer)
        if queue.in_log:
            self.topics.forget(queue.name)
        # Last, because it refuses those who wait for a message, and with them their channel and consumers.
        queue.close()

    # --- policies ----------------------------------------------------------------------------------

    def put_policy(self, policy: Policy, *, operator: bool = False) -> None:
        """Make a policy (or operator policy) or replace the one of its name.

        It works at once, or where there are many queues, over some ticks.

        Raises PRECONDITION_FAILED if it is not valid. Cost: O(queues + exchanges).
        """
        check_policy(policy, operator=operator)
        self._core.demand_storage()
        is_new = policy != self._policies(operator).get(policy.name)
        self._policies(operator).put(policy)
        self._core.define(_POLICY_KINDS[operator], kept.key_of(self.name, policy.name), policy)
        self._govern(policy)
        if is_new:
            self._core.events.tell("policy.set", policy)

    def remove_policy(self, name: str, *, operator: bool = False) -> bool:
        """Remove a policy; False: there was none."""
        if self._policies(operator).remove(name) is None:
            return False
        self._core.undefine(_POLICY_KINDS[operator], kept.key_of(self.name, name))
        self._govern(None)
        self._core.events.tell("operator.policy.cleared" if operator else "policy.cleared", self.name, name)
        return True

    def _policies(self, operator: bool) -> Policies:
        return self.operator_policies if operator else self.policies

    def _applied_to(self, kind: str, name: str) -> Applied:
        return Applied(self.policies.match(kind, name), self.operator_policies.match(kind, name))

    def _govern(self, policy: Policy | None) -> None:
        """Let everything work by the policies as they are now; what is declared meanwhile does so anyway.

        `policy`: the one that was set; None: one is gone.
        """
        for exchange in self.exchanges.values():
            applied = self._applied_to("exchange", exchange.name)
            if applied != exchange.applied:
                self._govern_exchange(exchange, applied)
        governing = self._govern_queues(list(self.queues.values()), policy)
        self._core.chores.begin(self._core.events.on_behalf(governing))
        self._core.wake()

    def _govern_queues(self, queues: list[Queue], policy: Policy | None) -> Parts:
        events = self._core.events
        for position, queue in enumerate(queues, 1):
            if self.queues.get(queue.name) is queue:
                applied = self._applied_to(queue.kind, queue.name)
                if applied != queue.applied:
                    self._govern_queue(queue, applied)
                    if policy is None:
                        events.tell("queue.policy.cleared", self.name, queue)
                    else:
                        events.tell("queue.policy.updated", self.name, queue, policy)
            if position % GOVERNED_AT_ONCE == 0 and position < len(queues):
                yield

    # --- bindings ----------------------------------------------------------------------------------

    def bind(
        self, source: Exchange, destination: Queue | Exchange, key: str, arguments: Mapping[str, Any]
    ) -> None:
        """Bind; the same binding again is no error (R31)."""
        source.row.check_binding(key, arguments, destination, isinstance(destination, Exchange))
        binding = Binding(source, destination, key, dict(arguments) if arguments else NO_DICT)
        if self._is_durable(binding) and not self.is_bound(source, destination, key, arguments):
            self._core.demand_storage()
        if not source.bind(binding):
            return
        self._link(binding)
        self._core.events.tell("binding.created", self.name, binding)
        if self._is_durable(binding):
            definition = kept.BindingDefinition(
                self.name,
                source.name,
                destination.name,
                isinstance(destination, Exchange),
                key,
                dict(arguments),
            )
            self._core.define("binding", self._binding_key(binding), definition)
        if source.history:
            self._repeat(source.history, destination)

    def _repeat(self, history: Iterable[Remembered], destination: Queue | Exchange) -> None:
        """Publish what an exchange remembers to what has just been bound to it (R30).

        As messages of now, for their times to live. An exchange gets the newest first, as from RabbitMQ.
        """
        now_ms = self._core.changes.now_ms
        to_exchange = isinstance(destination, Exchange)
        # A copy, because a way through exchanges may lead back to where these are remembered.
        past = list(history)
        for keys, envelope, message in reversed(past) if to_exchange else past:
            again = msgspec.structs.replace(message, accepted_ms=now_ms)
            if isinstance(destination, Exchange):
                route = destination.resolve(keys, envelope)
                route.remember(keys, envelope, again)
                queues = route.queues
            else:
                queues = (destination,)
            self._core.publish(
                queues,
                [again],
                len(again.body),
                persistent=again.persistent,
                expiring=again.expiration_ms != NO_EXPIRATION,
                message_bytes=message_bytes_of([again]),
                prioritized=again.priority > 0,
            )

    def unbind(
        self, source: Exchange, destination: Queue | Exchange, key: str, arguments: Mapping[str, Any]
    ) -> None:
        """Remove a binding; a missing one is no error."""
        binding = source.bindings.get(binding_identity(destination, key, arguments))
        if binding is not None:
            self._unlink(binding)
            self._auto_delete(source, self._core.events.acting)
            self._core.events.tell("binding.deleted", self.name, binding)

    def is_bound(
        self, source: Exchange, destination: Queue | Exchange, key: str, arguments: Mapping[str, Any]
    ) -> bool:
        """Is there this very binding?"""
        return binding_identity(destination, key, arguments) in source.bindings

    def bindings_to(self, destination: Queue | Exchange) -> Iterator[Binding]:
        """The bindings that lead to a queue or an exchange."""
        return iter(self.inbound.get(destination, ()))

    def _link(self, binding: Binding) -> None:
        inbound = self.inbound.get(binding.destination, ())
        self.inbound[binding.destination] = with_one(inbound, binding)
        self.topics.rebound(binding)

    def _unlink(self, binding: Binding) -> None:
        binding.source.unbind(binding.destination, binding.key, binding.arguments)
        left = without(self.inbound[binding.destination], binding)
        if left:
            self.inbound[binding.destination] = left
        else:
            del self.inbound[binding.destination]
        self.topics.rebound(binding)
        if self._is_durable(binding):
            self._core.undefine("binding", self._binding_key(binding))

    def _remove_inbound(self, destination: Queue | Exchange, by: str) -> None:
        bindings = list(self.inbound.get(destination, ()))
        for binding in bindings:
            self._unlink(binding)
        for binding in bindings:
            self._auto_delete(binding.source, by)
            self._core.events.tell("binding.deleted", self.name, binding, by=by)

    def _auto_delete(self, exchange: Exchange, by: str) -> None:
        """An auto-delete exchange goes with its last binding (R23)."""
        if exchange.auto_delete and not exchange.bindings and exchange.name in self.exchanges:
            self._remove_exchange(exchange, by)

    def _is_durable(self, binding: Binding) -> bool:
        destination = binding.destination
        lasting = destination.durable and getattr(destination, "owner", None) is None
        return binding.source.durable and lasting

    def _binding_key(self, binding: Binding) -> str:
        identity = binding_identity(binding.destination, binding.key, binding.arguments)
        return kept.key_of(self.name, binding.source.name, repr(identity))

    # --- restart -----------------------------------------------------------------------------------

    def restore(self, definition: kept.VhostDefinition) -> None:
        self.description, self.tags = definition.description, definition.tags
        self.default_queue_type, self.protected = definition.default_queue_type, definition.protected

    def restore_policy(self, policy: Policy, *, operator: bool) -> None:
        """Before exchanges and queues, which are made to fit."""
        self._policies(operator).put(policy)

    def restore_exchange(self, definition: kept.ExchangeDefinition) -> None:
        self._add_exchange(
            definition.name,
            definition.kind,
            durable=True,
            auto_delete=definition.auto_delete,
            internal=definition.internal,
            arguments=definition.arguments,
        )

    def restore_queue(self, uid: int, definition: kept.QueueDefinition) -> Queue:
        queue = self._add_queue(
            uid, definition.name, True, definition.auto_delete, None, definition.arguments
        )
        if definition.groups:
            begin_choice(queue, self._core.dialects).keeps_groups = True
        return queue

    def restore_binding(self, definition: kept.BindingDefinition) -> None:
        source = self.exchanges[definition.source]
        destinations: Mapping[str, Queue | Exchange] = self.queues
        if definition.to_exchange:
            destinations = self.exchanges
        destination = destinations[definition.destination]
        arguments = definition.arguments or NO_DICT
        binding = Binding(source, destination, definition.key, arguments)
        source.bind(binding)
        self._link(binding)


class _Never:
    valid = False


_NEVER: Any = _Never()


def demand_not_default(name: str) -> None:
    """Refuse to declare, delete or bind the default exchange."""
    if name == DEFAULT_EXCHANGE:
        raise BrokerError(Reason.ACCESS_REFUSED, "operation not permitted on the default exchange")


def demand_deletable(name: str, vhost: str) -> None:
    """Refuse to delete the default exchange and the broker's own."""
    demand_not_default(name)
    if name.startswith(RESERVED_PREFIX):
        text = f"deletion of system exchange '{name}' in vhost '{vhost}' not allowed"
        raise BrokerError(Reason.ACCESS_REFUSED, text)


def demand_not_reserved(kind: str, name: str) -> None:
    if name.startswith(RESERVED_PREFIX):
        text = f"{kind} name '{name}' contains reserved prefix '{RESERVED_PREFIX}*'"
        raise BrokerError(Reason.ACCESS_REFUSED, text)


def _demand_pairs(kind: str, name: str, vhost: str, pairs: tuple[tuple[str, Any, Any], ...]) -> None:
    for key, received, current in pairs:
        if received != current:
            text = (
                f"inequivalent arg '{key}' for {kind} '{name}' in vhost '{vhost}': "
                f"received '{_word(received)}' but current is '{_word(current)}'"
            )
            raise BrokerError(Reason.PRECONDITION_FAILED, text)


def _word(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
