"""The core: all state of one broker, and the tick that lets it act.

Heads call in while input is read; when the input of a turn is used up, `tick` delivers, appends one
group to the journal and seals confirms. The engine answers through `synced`, `loaded`, `merged` and
`failed`. Pure and synchronous: time comes in as an argument, bytes go out through sinks.

One flow: socket read → head → `publish` → `Lane.push` → `tick` → `dispatch` → `Sink.deliver`;
group → `Journal.append` → `synced` → `Waiting.confirm`.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain, groupby
from typing import Any

import msgspec

from pillarbox.broker import definitions as kept
from pillarbox.broker.advisories import Advisories
from pillarbox.broker.alarms import Alarms
from pillarbox.broker.auth import Permission, Principal, User, Users, user_with_password
from pillarbox.broker.changes import Changes
from pillarbox.broker.chores import Parts
from pillarbox.broker.confirm import Confirms
from pillarbox.broker.counters import ChannelCounters, ChurnCounters, MessageSizes, TrafficCounters
from pillarbox.broker.deadletter import MAXLEN, DeadLetters
from pillarbox.broker.dialects import Dialects
from pillarbox.broker.dispatch import ROUND_MESSAGES
from pillarbox.broker.duplicates import Duplicates
from pillarbox.broker.event_details import INTERNAL
from pillarbox.broker.events import NOBODY, Events
from pillarbox.broker.fence import Fence, raised
from pillarbox.broker.lane import SHADOW, Lane
from pillarbox.broker.ledger import Ledger
from pillarbox.broker.orders import TakeOrder
from pillarbox.broker.outside import Outside
from pillarbox.broker.parameters import Parameters
from pillarbox.broker.queue import Queue
from pillarbox.broker.quotas import Quotas
from pillarbox.broker.relief import relieve
from pillarbox.broker.restoring import restore
from pillarbox.broker.run import MESSAGE_BYTES, Cold, body_bytes_of
from pillarbox.broker.schedule import Schedules
from pillarbox.broker.scheduler import Scheduler
from pillarbox.broker.session import Session
from pillarbox.broker.sink import Outlet
from pillarbox.broker.streams import JOURNAL, Streams
from pillarbox.broker.topic_permission import TopicPermission
from pillarbox.broker.undelivered import UndeliveredOfAll
from pillarbox.broker.vhost import VHost
from pillarbox.engine.base import Journal, Location, Message, MessagesFact, QueueState, Recovery
from pillarbox.engine.logs import Logs
from pillarbox.errors import BrokerError, Reason
from pillarbox.profiles import DEFAULT, PROFILES, Profile

TICK_MESSAGES = 2000
"""Deliveries after which a tick lets sockets be read again: about two milliseconds' work."""

QUEUE_EFFORT = 20
"""As how many of these it counts that a queue is looked at: its receiver has something to write then."""

FORWARD_MESSAGES = 50
"""Dead letters after which a tick lets sockets be read again: about two milliseconds' work."""

RELIEF_MESSAGES = 5000
"""Messages let go, or queues looked at, after which a tick lets sockets be read again: a millisecond."""

UNIQUE_BYTES = 16
"""Random bytes in a name that the broker chooses: nobody guesses or meets it twice."""


class Core:
    """See the module.

    `random` gives that many random bytes; `wake` asks for a tick soon; `warn` takes a sentence for the
    operator; `report` an exception that ends one connection (see `fence`); `journaled` is false for a broker
    that keeps nothing; `ack_timeout_ms` is how long deliveries of queues without a limit of their own may
    stay unanswered (0: for ever); `arrived_ms` says what time it is within a turn, rounded up, for the few
    things that have to know (without it a turn is one moment).
    """

    def __init__(
        self,
        journal: Journal,
        *,
        now_ms: int,
        random: Callable[[int], bytes],
        wake: Callable[[], None],
        warn: Callable[[str], None] = lambda sentence: None,
        report: Callable[[Exception], None] = raised,
        journaled: bool = True,
        memory_budget: int = 128 << 20,
        ack_timeout_ms: int = 0,
        profile: Profile = PROFILES[DEFAULT],
        logs: Logs | None = None,
        arrived_ms: Callable[[], int] | None = None,
    ) -> None:
        self.journal = journal
        self.arrived_ms = arrived_ms or self._turn_ms
        self.random = random
        self.wake = wake
        self.warn = warn
        self.ack_timeout_ms = ack_timeout_ms
        self.memory_budget = memory_budget
        """Bytes that messages may take in memory before the disk holds them instead."""
        self.profile = profile
        """Which release of RabbitMQ the broker stands in for."""
        self.fence = Fence(report, wake)
        self.changes = Changes(journaled=journaled, fence=self.fence)
        self.changes.now_ms = self.started_ms = now_ms
        self.scheduler = Scheduler()
        self.confirms = Confirms(self.fence)
        self.make_ledger: Callable[[], Ledger] = Ledger
        """What heads enter deliveries in."""
        self.dialects = Dialects()
        self.events = Events(self)
        self.advisories = Advisories(self)
        self.dead_letters = DeadLetters(self)
        self.undelivered = UndeliveredOfAll(self)
        self.chores = self.changes.chores
        self.chores.wake = wake
        self.schedules = Schedules(self)
        self.streams = Streams(self, logs)
        self.users = Users(Outside(self._turn_ms, self.chores.in_turn, random))
        self.quotas = Quotas(self)
        self.parameters = Parameters(self)
        self.global_parameters: dict[str, Any] = {}
        """Values for the whole broker, by name (R97)."""
        self.vhosts: dict[str, VHost] = {}
        self.sessions: dict[Session, None] = {}
        self.churn = ChurnCounters()
        self.past_channels = ChannelCounters()
        """What channels have counted in virtual hosts that are gone."""
        self.past_traffic = TrafficCounters()
        """What connections have counted there."""
        self.sizes = MessageSizes()
        self.definitions = kept.Definitions()
        """Every durable definition as it is kept."""
        self.holders: list[Callable[[], Iterator[tuple[str, bytes]]]] = []
        """Heads that keep much hold it themselves (see `note`). Each says all of it, with keys, as it is at
        the moment of the call, however slowly it is taken: for a checkpoint."""
        self.vhost_keepers: list[Callable[[str], Parts]] = []
        """Heads that keep something of each virtual host: what lets go of it, in parts, when that goes."""
        self.orders: dict[str, TakeOrder] = {}
        """Addresses at which the broker itself takes messages (see `orders`)."""
        self.alarms = Alarms()
        self.alarm: str | None = None
        """Why publishers are held up, in words; None while they are not."""
        self.held = False
        """Publishers are being held up: by an alarm, or because the disk is behind."""
        self.failure: str | None = None
        """Why nothing can be stored any more."""
        self.ticket = 0
        """Of the last tick that brought something to keep."""
        self.journal_ticket = self.synced_ticket = 0
        """Of the last group that the journal was given, and of the last one that it has made durable."""
        self._duplicates: Duplicates | None = None
        self._grown: dict[Queue, None] = {}
        """Queues that took stored messages while the memory budget was used up."""
        self._relief: Iterator[int] | None = None
        """Lets messages go that the disk holds, some in each tick."""
        self._load_ticket = 0
        self._loads: dict[int, list[Cold]] = {}
        # Uids are never used again, also not after a restart that has forgotten a deleted queue.
        self._uid_next = now_ms << 20

    def __repr__(self) -> str:
        return f"<Core vhosts={len(self.vhosts)} sessions={len(self.sessions)} ticket={self.ticket}>"

    # --- definitions -------------------------------------------------------------------------------

    def define(self, kind: str, key: str, definition: msgspec.Struct) -> None:
        """Keep a definition."""
        value = kept.encode(definition)
        of_kind = self.definitions.of(kind)
        before = of_kind.get(key) if self.events.is_told else None
        of_kind[key] = value
        self.changes.define(kind, key, value)
        if self.events.is_told:
            self.events.defined(kind, definition, before and kept.decode(kind, before))

    def undefine(self, kind: str, key: str, *, told: bool = True) -> None:
        """Forget a definition. `told`: those hear of it who listen to events."""
        before = self.definitions.of(kind).pop(key, None)
        if before is not None:
            self.changes.define(kind, key, None)
            if told and self.events.is_told:
                self.events.undefined(kind, kept.decode(kind, before))

    def keep(self, key: str, value: bytes | None) -> None:
        """Keep a head's own bytes under a key that begins with the head's name, or (None) forget them."""
        if value is None:
            if self.definitions.of(kept.HEAD).pop(key, None) is None:
                return
        else:
            self.definitions.of(kept.HEAD)[key] = value
        self.changes.define(kept.HEAD, key, value)

    def kept(self, prefix: str) -> Iterator[tuple[str, bytes]]:
        """What a head keeps under keys that begin so, in the order in which they were first kept."""
        for key, value in self.definitions.of(kept.HEAD).items():
            if key.startswith(prefix):
                yield key, value

    def note(self, key: str, value: bytes) -> None:
        """Keep a head's bytes until the next checkpoint, which is told by one of the `holders`.

        They are not held here; a restart finds them behind what the holder has said, if they came later.
        """
        self.changes.define(kept.HEAD, key, value)

    def take_kept(self, prefix: str) -> Iterator[tuple[str, bytes]]:
        """What is kept under keys that begin so, for a holder, who has it from now on."""
        for key, value in list(self.kept(prefix)):
            del self.definitions.of(kept.HEAD)[key]
            yield key, value

    def demand_storage(self) -> None:
        """Refuse what would have to be stored once storage has failed (INTERNAL_ERROR).

        Asked before anything is added. What is removed goes on: a restart brings it back, as it brings back
        what was settled, and nobody was promised that it stays away.
        """
        if self.failure is not None:
            raise BrokerError(Reason.INTERNAL_ERROR, self.failure)

    @property
    def owes(self) -> bool:
        """Is something that was done so far not yet as safe as it will be, in the journal or in a log?"""
        changes = self.changes
        return (
            changes.has_facts
            or changes.logs_grown
            or self.synced_ticket < self.journal_ticket
            or self.streams.logs_through < self.ticket
        )

    @property
    def duplicates(self) -> Duplicates:
        """What is known of messages that say who they are (A41); read back when it is first asked for."""
        if self._duplicates is None:
            self._duplicates = Duplicates(self)
        return self._duplicates

    def take_uid(self) -> int:
        """A uid for a queue or a lane that was never used."""
        self._uid_next += 1
        return self._uid_next

    def uid_is_taken(self, uid: int) -> None:
        """Something from before a restart has this uid: nothing else gets it."""
        self._uid_next = max(self._uid_next, uid)

    def unique_name(self, prefix: str) -> str:
        """A name that nobody has, beginning with `prefix`."""
        if self.users.outside.names and (asked := self.users.outside.name_again(prefix)) is not None:
            return asked
        return prefix + base64.urlsafe_b64encode(self.random(UNIQUE_BYTES)).decode().rstrip("=")

    def add_vhost(self, name: str) -> VHost:
        """Make a virtual host, or return the one of this name. Raises PRECONDITION_FAILED while that goes."""
        return self.vhosts[name] if name in self.vhosts else self.put_vhost(name, {})

    def put_vhost(self, name: str, said: Mapping[str, Any]) -> VHost:
        """Make a virtual host, or change the one of this name: give it these attributes.

        Raises PRECONDITION_FAILED while the one of this name goes.
        """
        vhost = self.vhosts.get(name)
        if vhost is None:
            vhost = self.vhosts[name] = VHost(self, name)
        elif vhost.closing:
            raise BrokerError(Reason.PRECONDITION_FAILED, f"vhost '{name}' is being deleted")
        for attribute, value in said.items():
            setattr(vhost, attribute, value)
        self.define("vhost", name, vhost.definition())
        return vhost

    def add_user(self, name: str, password: str, tags: tuple[str, ...] = ()) -> User:
        """Make a user or replace the one of this name. Cost: see `user_with_password`."""
        return self.put_user(user_with_password(name, password, tags, self.random))

    def put_user(self, user: User) -> User:
        """Take over a user whose password was hashed elsewhere (R94)."""
        before = self.users.by_name.get(user.name)
        user = self.users.put(user)
        self.define("user", user.name, user)
        if before is not None and before.tags != user.tags:
            for session in self.sessions:
                session.tags_changed(before, user)
        return user

    def set_permission(self, permission: Permission) -> None:
        """Set what a user may do in a virtual host."""
        self.users.permissions[permission.user, permission.vhost] = permission
        self.define("permission", kept.key_of(permission.user, permission.vhost), permission)
        self._forget_routes()

    def set_topic_permission(self, permission: TopicPermission) -> None:
        """Set which routing keys a user may use on one topic exchange (R93)."""
        self.users.topics.put(permission)
        key = kept.key_of(permission.user, permission.vhost, permission.exchange)
        self.define("topic_permission", key, permission)
        self._forget_routes()

    def clear_topic_permission(
        self, user: str, vhost: str, exchange: str | None = None, *, told: bool = True
    ) -> None:
        """Lift the restriction of a user on one topic exchange, or (None) on all of a virtual host."""
        lifted = list(self.users.topics.remove(user, vhost, exchange))
        for permission in lifted:
            self.undefine("topic_permission", kept.key_of(user, vhost, permission.exchange))
        if lifted and told:
            self.events.tell("topic.permission.deleted", user, vhost, exchange)
        self._forget_routes()

    def _forget_routes(self) -> None:
        for session in self.sessions:
            session.forget_routes()

    def set_tracing(self, vhost: str, on: bool) -> None:
        """Have copies of a virtual host's messages published (R75), or not any more; a restart forgets it.

        Raises NOT_FOUND for a missing virtual host.
        """
        if vhost not in self.vhosts:
            raise BrokerError(Reason.NOT_FOUND, f"no vhost '{vhost}'")
        self.vhosts[vhost].tracing = on
        for session in self.sessions:
            if session.vhost.name == vhost:
                session.trace(on)

    def restore(self, recovery: Recovery) -> None:
        """Take over what an engine found. Only on an empty core."""
        restore(self, recovery)

    # --- sessions and publishing -------------------------------------------------------------------

    def demand_entry(self, user: Principal, vhost: str, *, permitted: bool = False) -> None:
        """Raise NOT_ALLOWED for an unknown virtual host, or (unless `permitted`) one without any right."""
        if vhost not in self.vhosts or self.vhosts[vhost].closing:
            raise BrokerError(Reason.NOT_ALLOWED, f"vhost {vhost} not found")
        if not permitted:
            self.users.demand_entry(user, vhost)

    def open_session(
        self, user: Principal, vhost: str, outlet: Outlet, *, permitted: bool = False
    ) -> Session:
        """Let a user in. Raises NOT_ALLOWED if it has no right to, or there are too many already.

        `permitted`: its head has rights of its own, and users need no permission to enter.
        """
        self.demand_entry(user, vhost, permitted=permitted)
        self.quotas.demand_connection(user, vhost)
        session = Session(self, user, self.vhosts[vhost], outlet, permitted=permitted)
        self.sessions[session] = None
        return session

    def publish(
        self,
        queues: tuple[Queue, ...],
        messages: list[Message],
        body_bytes: int,
        *,
        persistent: bool,
        expiring: bool,
        prioritized: bool,
        message_bytes: int = MESSAGE_BYTES,
    ) -> tuple[bool, Sequence[int]]:
        """Append messages to queues.

        Returns whether the journal keeps some of them (their confirm must wait), and the positions of those
        that a full queue has refused (their publisher must be told, R47).
        All messages are persistent, or none is; `prioritized`: at least one has a priority above 0;
        `message_bytes`: memory of each beside its body.
        The list is kept and must not change afterwards.
        Raises INTERNAL_ERROR if they would have to be stored and storage has failed.
        """
        crowded: list[Queue] = []
        refused: Sequence[int] = ()
        stored = False
        for queue in queues:
            if queue.journaled:
                stored = persistent
            if queue.limits is not None and not queue.limits.have_room(queue, len(messages), body_bytes):
                crowded.append(queue)
        if crowded:
            if len(messages) > 1 and _go_singly(crowded, expiring=expiring, prioritized=prioritized):
                return self._publish_singly(
                    queues, messages, message_bytes, persistent, expiring=expiring, prioritized=prioritized
                )
            queues, refused = self._admit(queues, crowded, messages, body_bytes)
            stored = persistent and any(queue.journaled for queue in queues)
        if stored and self.failure is not None:
            self.demand_storage()
        if prioritized and any(queue.priority_max for queue in queues):
            for priority, part in _by_priority(queues, messages):
                self._append(queues, part, body_bytes_of(part), persistent, expiring, message_bytes, priority)
        elif stored or self.changes.resident_bytes > self.memory_budget:
            self._append(queues, messages, body_bytes, persistent, expiring, message_bytes)
        else:
            for queue in queues:
                queue.lanes[-1].push(
                    messages, body_bytes, None, expiring=expiring, message_bytes=message_bytes
                )
        for queue in crowded:
            if queue.queued:
                queue.dispatcher(queue)
            queue.trim()
        if self.changes.passed_on:
            self.changes.passed_on, stored = False, True
        return stored or self.changes.logs_grown, refused

    def _publish_singly(
        self,
        queues: tuple[Queue, ...],
        messages: list[Message],
        message_bytes: int,
        persistent: bool,
        *,
        expiring: bool,
        prioritized: bool,
    ) -> tuple[bool, Sequence[int]]:
        """The same, message by message: each of them finds the queues as the one before left them."""
        stored = False
        refused: list[int] = []
        for position, message in enumerate(messages):
            kept, left = self.publish(
                queues,
                [message],
                len(message.body),
                persistent=persistent,
                expiring=expiring,
                prioritized=prioritized,
                message_bytes=message_bytes,
            )
            stored = stored or kept
            if left:
                refused.append(position)
        return stored, refused

    def _admit(
        self, queues: tuple[Queue, ...], crowded: list[Queue], messages: list[Message], body_bytes: int
    ) -> tuple[tuple[Queue, ...], Sequence[int]]:
        """The queues that take these messages although there is no room, and positions that some refuse.

        First, consumers get what they should have had by now.
        """
        full: dict[Queue, None] = {}
        for queue in crowded:
            if self.refused_by(queue, messages, body_bytes):
                full[queue] = None
        if not full:
            return queues, ()
        return tuple(queue for queue in queues if queue not in full), (0,)

    def refused_by(self, queue: Queue, messages: list[Message], body_bytes: int) -> bool:
        """Does a queue refuse this message (R47)? Then it may become a dead letter of the queue.

        Consumers of the queue have their turn before. `messages`: just the one.
        """
        limits = queue.limits
        if limits is None:
            return False
        if queue.queued:
            queue.dispatcher(queue)
        if queue.timed:
            queue.expire(at_once=True)
        if not limits.rejects or limits.have_room(queue, 1, body_bytes):
            return False
        self.events.mention("queue.full", queue)
        if limits.dead_letters_refused:
            queue.let_die(MAXLEN, messages)
        return True

    def append_to_lane(
        self, queue: Queue, messages: list[Message], priority: int, *, persistent: bool, size: int
    ) -> None:
        """Append messages to a hidden queue, in its lane of this priority; `size`: memory of each."""
        self._append((queue,), messages, body_bytes_of(messages), persistent, False, size, priority)

    def _append(
        self,
        queues: tuple[Queue, ...],
        messages: list[Message],
        body_bytes: int,
        persistent: bool,
        expiring: bool,
        message_bytes: int,
        priority: int = 0,
    ) -> None:
        """Append messages of one priority: in memory, stored, or spilled because memory is used up."""
        changes = self.changes
        over = changes.resident_bytes > self.memory_budget
        spill = over and changes.journaled and self.failure is None
        location = Location()
        targets: list[tuple[int, int]] = []
        for queue in queues:
            lane = self._lane(queue, priority) if priority and queue.priority_max else queue.lanes[-1]
            stored = persistent and queue.journaled
            if stored or (spill and not queue.in_log):
                targets.append((lane.uid if stored else lane.uid | SHADOW, lane.sequence_next))
                lane.push(
                    messages,
                    body_bytes,
                    location,
                    stored=stored,
                    expiring=expiring,
                    message_bytes=message_bytes,
                )
            else:
                lane.push(messages, body_bytes, None, expiring=expiring, message_bytes=message_bytes)
        if targets:
            changes.messages.append(MessagesFact(targets, messages, location))
            changes.message_count += len(messages)
        if over:
            self._grown.update(dict.fromkeys(queues))

    def grown(self, queue: Queue) -> None:
        """Let a queue look at its memory when this tick's group has been appended."""
        self._grown[queue] = None

    def _lane(self, queue: Queue, priority: int) -> Lane:
        """The lane of a queue for messages of this priority, made and defined when it is first used."""
        lane = queue.lane_of(priority)
        if lane is None:
            lane = queue.add_lane(self.take_uid(), priority)
            if queue.journaled:
                self.define("lane", str(lane.uid), kept.LaneDefinition(queue.uid, lane.priority))
        return lane

    def set_alarm(self, resource: str, short: bool) -> bool:
        """Note that a resource (see `alarms`) is short, or is not any more; return whether that is news.

        Publishers are held up while any is. Who is told of one is not told of a further one, only of the end.
        """
        if not self.alarms.set(resource, short):
            return False
        before, self.alarm = self.alarm, self.alarms.reason
        self.events.tell("alarm.set" if short else "alarm.cleared", resource, by=NOBODY)
        for session in list(self.sessions):
            if self.alarm is None:
                session.outlet.unblocked()
            elif before is None:
                session.outlet.blocked(self.alarm)
        return True

    def relieve(self, resident_max: int) -> None:
        """Let go of messages that the disk holds as well, of all queues, until so many bytes are in memory.

        Begins now and goes on over the next ticks; begun already, it goes on as it was.
        """
        if self._relief is None and self.changes.resident_bytes > resident_max:
            self._relief = relieve(self.all_queues(), self.changes, resident_max)
            self.wake()

    def make_room(self) -> None:
        """Have what is settled leave the disk: begin a checkpoint now, unless one is under way."""
        if self.failure is None:
            self.journal.checkpoint(CoreSnapshot(self))

    def all_queues(self) -> Iterator[Queue]:
        for vhost in list(self.vhosts.values()):
            yield from (*vhost.queues.values(), *vhost.reply_queues.values())
            yield from [one.schedule.queue for one in vhost.exchanges.values() if one.schedule is not None]
        yield from [one.queue for one in list(self.undelivered.by_source.values())]

    # --- ticks -------------------------------------------------------------------------------------

    def _turn_ms(self) -> int:
        return self.changes.now_ms

    def set_time(self, now_ms: int) -> None:
        """Say what time it is: at the start of a turn, before its input."""
        self.events.acting = INTERNAL
        self.changes.now_ms = now_ms

    def tick(self, now_ms: int) -> int | None:
        """Do everything that the input since the last tick makes possible; return when the next is due."""
        changes = self.changes
        changes.now_ms = now_ms
        scheduler = self.scheduler
        if scheduler.next_ms is not None and scheduler.next_ms <= now_ms:
            scheduler.run(now_ms)
        if self.chores.under_way or self.chores.turns:
            self.chores.step()
        if self.schedules.due:
            self.schedules.fire()
        delivered = self._dispatch() if changes.dirty else 0
        if changes.dying:
            delivered += self._forward()
        if self.streams.dirty:
            delivered += self.streams.serve(TICK_MESSAGES)
        if changes.timed:
            for due_ms, who in changes.timed:
                self.scheduler.at(due_ms, who)
            changes.timed.clear()
        if self.fence.broken:
            self.fence.cut()
        if self.confirms.listed or changes.logs_grown or changes.has_facts:
            self.flush(delivered)
        if self._grown:
            for queue in self._grown:
                queue.unload(self.memory_budget)
            self._grown.clear()
        if self._relief is not None:
            self._relieve()
        if changes.cold:
            self._load()
        if changes.dirty:
            self.wake()
        if self.journal.checkpoint_due and self.failure is None:
            self.journal.checkpoint(CoreSnapshot(self))
        return scheduler.next_ms

    def _dispatch(self) -> int:
        """Let dirty queues deliver; those that could not finish stay dirty. Returns how many left."""
        changes = self.changes
        dirty, changes.dirty = changes.dirty, []
        done = effort = 0
        for position, queue in enumerate(dirty):
            if effort >= TICK_MESSAGES:
                # Before those that are dirty again: whoever had no turn now comes first in the next tick.
                changes.dirty[:0] = dirty[position:]
                break
            queue.queued = False
            count = queue.dispatcher(queue)
            done += count
            effort += count + QUEUE_EFFORT
            if queue.timed:
                queue.expire(at_once=True)
            if queue.limits is not None:
                queue.trim()
            if count >= ROUND_MESSAGES:
                queue.wake()
        return done

    def _forward(self) -> int:
        """Forward dead letters and let the queues that get them deliver, those that die there included.

        Returns how many there were; if more are left, a tick comes soon.
        """
        done = 0
        while self.changes.dying and done < FORWARD_MESSAGES:
            count = self.dead_letters.forward(FORWARD_MESSAGES - done)
            if not count:
                return done
            done += count
            self._dispatch()
        if self.changes.dying:
            self.wake()
        return done

    def attend(self, queue: Queue) -> None:
        """Bring a queue up to this moment, before its messages are counted or got: its consumers come first,
        then times to live, limits, and what died elsewhere."""
        if queue.timed or queue.limits is not None:
            queue.dispatcher(queue)
            queue.expire(at_once=True)
            queue.trim()
        if self.changes.dying:
            self._forward()

    def flush(self, delivered: int | None = None) -> None:
        """Append all facts so far as one group and seal the confirms that wait for it.

        `delivered`: at the end of a tick, the messages that left in it. If these are no more than the group
        brings, hardly anybody else is kept waiting when it is made durable at once.
        """
        changes = self.changes
        grown, changes.logs_grown = changes.logs_grown, False
        moved, changes.moved_to_logs = changes.moved_to_logs, False
        stored = self.confirms.stored
        lone = stored and not grown and delivered is not None and delivered <= changes.message_count
        waited = grown or stored
        group = changes.take_group(self.ticket + 1, lone=lone, waited=waited)
        if (group is None and not grown) or self.failure is not None:
            # After a failure facts are known to memory alone (see `demand_storage`).
            self.confirms.seal(self.ticket)
            return
        # Sealed first: the engine may answer at once.
        self.ticket += 1
        self.confirms.seal(self.ticket)
        if grown:
            self.streams.append(self.ticket)
        if group is not None:
            self.journal_ticket = self.ticket
            group.held = moved and self.streams.logs_through < self.ticket
            if self.streams.any:
                self.streams.began(JOURNAL, self.ticket)
            self.journal.append(group)

    def _relieve(self) -> None:
        """Let another part of the messages go that the disk holds."""
        assert self._relief is not None
        done = 0
        for count in self._relief:
            done += count
            if done >= RELIEF_MESSAGES:
                self.wake()
                return
        self._relief = None

    def _load(self) -> None:
        cold, self.changes.cold = self.changes.cold, []
        self._load_ticket += 1
        self._loads[self._load_ticket] = cold
        requests = [
            (run.lane.uid if run.stored else run.lane.uid | SHADOW, run.sequences, run.location)
            for run in cold
            if run.location is not None
        ]
        assert len(requests) == len(cold), "only what rests on disk is cold"
        self.journal.load(self._load_ticket, requests)

    # --- the engine's answers ----------------------------------------------------------------------

    def synced(self, ticket: int) -> None:
        """See `JournalListener`."""
        self.synced_ticket = ticket
        if self.streams.any:
            ticket = self.streams.passed(JOURNAL, ticket)
        self.confirms.synced(ticket)

    def loaded(self, ticket: int, records: Sequence[Sequence[tuple[int, Message]]]) -> None:
        """See `JournalListener`."""
        runs = self._loads.pop(ticket)
        for run, pairs in zip(runs, records, strict=True):
            run.arrived(pairs)
            run.lane.queue.tell_waiting()
        if self.changes.resident_bytes > self.memory_budget:
            # What their consumers have had before and have not answered leaves the memory for it.
            self._grown.update(dict.fromkeys([run.lane.queue for run in runs]))
        self.wake()

    def merged(self, uid: int, sequences: range, location: Location) -> None:
        """See `JournalListener`: the old locations stay good, so only schedules, with many, do anything."""
        self.schedules.merged(uid, sequences)

    def checkpointed(self) -> None:
        """See `JournalListener`."""
        self.wake()

    def fail(self, reason: str) -> None:
        """A log can store nothing more: neither may the journal, which would settle what the log lost."""
        self.journal.fail(reason)

    def failed(self, reason: str) -> None:
        """See `JournalListener`."""
        if self.failure is None:
            self.failure = reason
        self.confirms.fail(reason)


class CoreSnapshot:
    """What a checkpoint keeps of a core; queues are looked at one by one, over many ticks."""

    def __init__(self, core: Core) -> None:
        self._core = core

    def definitions(self) -> Iterator[tuple[str, str, bytes]]:
        core = self._core
        # Those of this moment; with a hundred thousand of them even a list of rows would take too long here.
        definitions = core.definitions.copy()
        held = [rows() for rows in core.holders]
        return chain(
            definitions.rows(),
            ((kept.HEAD, key, value) for rows in held for key, value in rows),
        )

    def queues(self) -> Iterator[QueueState]:
        for queue in self._core.all_queues():
            for lane in list(queue.lanes):
                if not queue.deleted:
                    # A state may show only what the journal was given.
                    self._core.flush()
                    for state in lane.states():
                        yield state
                        self._core.flush()


def _go_singly(crowded: list[Queue], *, expiring: bool, prioritized: bool) -> bool:
    """Does it matter for these queues in which order messages come, in a batch that has no room?

    Where the oldest give way it is all one, unless some expire first or overtake others.
    """
    return expiring or prioritized or any(queue.timed or _rejects(queue) for queue in crowded)


def _rejects(queue: Queue) -> bool:
    return queue.limits is not None and queue.limits.rejects


def _by_priority(queues: tuple[Queue, ...], messages: list[Message]) -> Iterator[tuple[int, list[Message]]]:
    """Parts of a batch that go to the same lanes, so that every queue has its messages in order.

    Several queues share the payload, and not all may have priorities: they get stretches of equal priority.
    """
    highest = max(queue.priority_max for queue in queues)

    def level(message: Message) -> int:
        return min(message.priority, highest)

    if len(queues) == 1:
        messages = sorted(messages, key=level)
    for priority, part in groupby(messages, level):
        yield priority, list(part)
