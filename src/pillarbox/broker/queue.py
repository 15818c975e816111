"""A queue: who it is, who receives from it, what it counts, and its lanes, where the messages are.

A queue without priorities has one lane. One with `x-max-priority` has a lane for each priority that was ever
used; the next message is always that of the highest lane that has any. Not here: who may do what, routing,
dispatch to consumers, the order of messages within a lane (see `lane`).

Source: RabbitMQ's classic queues and priority queues (R50). Invariant: a queue without limits or priorities
takes no step for them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from operator import attrgetter
from typing import TYPE_CHECKING, Any, TypeAlias

from pillarbox.broker.ack_timeout import own_timeout_ms
from pillarbox.broker.arguments import check_consumer_arguments
from pillarbox.broker.counters import QueueCounters
from pillarbox.broker.deadletter import DISABLED, EXPIRED, MAXLEN, Dying
from pillarbox.broker.dispatch import dispatch
from pillarbox.broker.exchange import Stamp
from pillarbox.broker.lane import READ_AHEAD_BYTES, READ_AHEAD_MESSAGES, Lane
from pillarbox.broker.lean import NO_DICT, NO_LIST
from pillarbox.broker.limits import delivery_limit_of, limits_of
from pillarbox.broker.policy import NOTHING_APPLIED
from pillarbox.broker.retry import Delayed, RetryRule, redelivery_of, retry_rule_of
from pillarbox.broker.run import Run

if TYPE_CHECKING:
    from pillarbox.broker.changes import Changes
    from pillarbox.broker.choice import Choice
    from pillarbox.broker.choosing_lane import Stretch
    from pillarbox.broker.consumer import Consumer, Pool
    from pillarbox.broker.deadletter import DeadLetterRule
    from pillarbox.broker.fence import Fence
    from pillarbox.broker.index import Envelope
    from pillarbox.broker.ledger import Entry
    from pillarbox.broker.limits import Limits
    from pillarbox.engine.base import Message

Level: TypeAlias = "list[Consumer] | deque[Consumer]"
"""Consumers of one priority, in the order of their turns. One alone stands in a list: a deque takes 760
bytes, in each queue."""

TRIMMED_AT_ONCE = 500
"""Runs from which messages are dropped before others have their turn: less than a millisecond's work. An
operator may give a limit of ten to a queue with a million messages that came one by one."""
EVICTION_WEIGHT = 250
"""As how many more of these a choice of what gives way counts, which looks at a thousand messages."""

_BLOCKED = attrgetter("blocked")
_PRIORITY = attrgetter("priority")


class Queue:
    """See the module. Made by `vhost`; `uid` is never used again, `name` may be."""

    in_log = False
    """Its messages rest in a partition log and neither in memory nor in the journal: see `stream`."""

    __slots__ = (
        "__weakref__",
        "_blocks",
        "_changes",
        "_levels",
        "_returns",
        "_timer_ms",
        "_waiting",
        "ack_timeout_ms",
        "active_ms",
        "applied",
        "arguments",
        "auto_delete",
        "choice",
        "consumers",
        "counters",
        "dead_bytes",
        "dead_count",
        "dead_letters",
        "delayed",
        "delayed_bytes",
        "delayed_count",
        "deleted",
        "delivery_limit",
        "dispatcher",
        "durable",
        "estimated",
        "expires_ms",
        "expiry",
        "journaled",
        "lanes",
        "limits",
        "name",
        "owner",
        "paused",
        "priority_max",
        "queued",
        "ready_bytes",
        "ready_count",
        "redelivers",
        "requeues_count",
        "retry",
        "single_active",
        "stamp",
        "standby",
        "timed",
        "ttl_ms",
        "turns",
        "uid",
        "unacked_bytes",
        "unacked_count",
        "uneven",
        "unreadable",
        "used_ms",
    )
    # A dict for so many fields would take a kilobyte more, for each queue.

    def __init__(
        self,
        changes: Changes,
        uid: int,
        name: str,
        *,
        durable: bool = False,
        auto_delete: bool = False,
        owner: object | None = None,
        arguments: Mapping[str, Any] | None = None,
        priority_max: int = 0,
        single_active: bool = False,
    ) -> None:
        self._changes = changes
        self.uid = uid
        self.name = name
        self.durable = durable
        self.auto_delete = auto_delete
        self.owner = owner
        """The connection that has it exclusively, if any."""
        self.arguments: dict[str, Any] = dict(arguments) if arguments else NO_DICT
        self.priority_max = priority_max
        """The highest priority that makes a difference; 0: none does."""
        self.applied = NOTHING_APPLIED
        """The policies that count for it (R95)."""
        # What may change while the queue lives; see `adopt`.
        self.ttl_ms: int | None = None
        self.expires_ms: int | None = None
        self.limits: Limits | None = None
        self.dead_letters: DeadLetterRule | None = None
        """Where messages go that die here; None: nowhere."""
        self.delivery_limit: int | None = None
        """How often a message may come back before it dies (R52); None: nobody counts."""
        self.ack_timeout_ms: int | None = None
        """How long a delivery may stay unanswered (R54); 0: for ever, None: as long as in other queues."""
        self.requeues_count = True
        """Does every return count? Otherwise only those of deliveries that failed."""
        self.redelivers = False
        """What a receiver rejects comes back (A34); only that counts."""
        self.retry: RetryRule | None = None
        """Which messages that come back are held for a while, and how long (R53)."""
        self.delayed: Delayed | None = None
        """Those messages, once there were any."""
        self.delayed_count = self.delayed_bytes = 0
        self.dead_count = self.dead_bytes = 0
        """Dead letters of it that no queue takes yet (R49); they stand elsewhere (see `undelivered`)."""
        self.expiry: object | None = None
        """What deletes the queue when nobody has used it for so long: a timer keeps nothing alive."""
        self.journaled = durable and owner is None and changes.journaled
        self.counters = QueueCounters()
        self.stamp = Stamp()
        self.single_active = single_active
        """One consumer gets everything, the others wait for it to go (R51)."""
        self.consumers: list[Consumer] = NO_LIST
        self._levels: list[Level] = []
        """Those of them that are not blocked, in the order of their turns: by priority, none is empty."""
        self.turns: Sequence[Level] = self._levels
        """The same, as `dispatch` sees it: nobody gets anything while messages are on their way back."""
        self.paused = False
        """An operator wants nothing handed out to consumers until it is resumed."""
        self._returns = 0
        """How many receivers that have gone are giving messages back."""
        self.standby: list[Consumer] = NO_LIST
        """Consumers that wait to become the active one; there is one whenever anybody waits."""
        self.lanes = [Lane(self, changes, uid, 0)]
        """The highest priority first. The last one has priority 0 and the queue's uid, and is always there
        until the queue is deleted."""
        self.choice: Choice | None = None
        """What its consumers want and may have, where they are not all alike."""
        self.dispatcher: Callable[[Queue], int] = dispatch
        """How its messages are handed out: see `dispatch`, and `choose`."""
        self.ready_count = self.ready_bytes = 0
        self.unacked_count = self.unacked_bytes = 0
        self.active_ms = self.used_ms = changes.now_ms
        self.deleted = False
        self.queued = False
        """Stands in `changes.dirty`."""
        self._blocks = 0
        """How often a consumer was taken out of the turns."""
        self.timed = False
        """Messages may have a time to live, their own or the queue's."""
        self.uneven = False
        """Some may have one of their own, so a later one's time may be over before an earlier one's."""
        self._timer_ms: int | None = None
        self._waiting: list[Callable[[], None]] = NO_LIST
        """Who wants to know when cold messages have come, or those that were out are back."""
        self.unreadable = False
        """Messages could not be read back from disk."""
        self.estimated = False
        """Of some runs on disk only the engine knows how many bytes they have."""

    def __repr__(self) -> str:
        following = "/".join(str(lane.sequence_next) for lane in self.lanes)
        return (
            f"<Queue {self.name} ready={self.ready_count} unacked={self.unacked_count} "
            f"next={following} consumers={self.consumer_count}>"
        )

    def adopt(self, settings: Mapping[str, Any], dead_letters: DeadLetterRule | None) -> None:
        """Work by these settings, arguments merged with policies, from now on, and on what waits already.

        But for the time to live: what waits keeps the one under which it came.
        """
        ttl_ms = settings.get("x-message-ttl")
        if ttl_ms != self.ttl_ms:
            for lane in self.lanes:
                lane.keep_lifetime()
            self.ttl_ms = ttl_ms
        self.expires_ms = settings.get("x-expires")
        self.limits = limits_of(settings)
        self.dead_letters = dead_letters
        self.delivery_limit = delivery_limit_of(settings)
        self.retry = retry_rule_of(settings)
        redelivery = redelivery_of(settings)
        self.redelivers = redelivery is not None
        if redelivery is not None:
            self.delivery_limit, self.retry = redelivery
        self.set_ack_timeout(own_timeout_ms(settings))
        self.timed = self.timed or self.ttl_ms is not None
        self.wake()

    @property
    def kind(self) -> str:
        """Its type (R43)."""
        return str(self.arguments.get("x-queue-type", "classic"))

    @property
    def shows(self) -> bool:
        """Are consumers shown what it has, and take nothing?"""
        return self.choice is not None and self.choice.shows

    # --- lanes -------------------------------------------------------------------------------------

    def lane_of(self, priority: int) -> Lane | None:
        """The lane for messages of this priority, if there is one yet."""
        level = min(priority, self.priority_max)
        for lane in self.lanes:
            if lane.priority == level:
                return lane
        return None

    def add_lane(self, uid: int, priority: int) -> Lane:
        """Make the lane for messages of this priority."""
        lane = Lane(self, self._changes, uid, min(priority, self.priority_max))
        self.lanes.append(lane)
        if self.choice is not None:
            self.choice.take_in(lane)
        self.lanes.sort(key=_PRIORITY, reverse=True)
        return lane

    # --- consumers ---------------------------------------------------------------------------------

    @property
    def fence(self) -> Fence:
        """Around what its consumers' heads do."""
        return self._changes.fence

    def wake(self) -> None:
        """Have the queue looked at when the tick ends, or when nobody holds it any more."""
        if not self.queued and (self.ready_count or self.timed) and not self._returns:
            self.queued = True
            self._changes.dirty.append(self)

    def check_consumer(
        self, vhost: str, arguments: Mapping[str, Any], *, no_ack: bool, prefetch: int, pool: Pool
    ) -> None:
        """Refuse a consumer that this kind of queue cannot have."""
        check_consumer_arguments(self.name, vhost, arguments)

    def demand_returnable(self) -> None:
        """Refuse deliveries that come back, where the queue cannot take any."""

    @property
    def consumer_count(self) -> int:
        """How many there are, those that wait included."""
        return len(self.consumers) + len(self.standby)

    def wants(self, envelope: Envelope) -> bool:
        """Has it a consumer that takes a message which shows this?"""
        selectors = [consumer.selector for consumer in (*self.consumers, *self.standby)]
        if not selectors or None in selectors:
            return bool(selectors)
        from pillarbox.broker.selectors import lookup_in

        look = lookup_in(envelope)
        return any(selector is not None and selector(look) for selector in selectors)

    def add_consumer(self, consumer: Consumer) -> None:
        """Let a consumer take part, or wait its turn, behind those of its priority (R69)."""
        first = self.consumers[0] if self.consumers else None
        if first is None:
            self._activate(consumer)
        elif self.single_active or (
            first.sole and not (consumer.sole and consumer.priority > first.priority)
        ):
            self.standby = _placed(self.standby, consumer)
        elif consumer.sole:
            self._step_aside()
            self._activate(consumer)
        else:
            self._activate(consumer)

    def _step_aside(self) -> None:
        """Let those that take part wait: one has come that wants everything (A29).

        They were here before those of their priority that wait already.
        """
        for consumer in reversed(self.consumers):
            # When it has credit again, it has no turn.
            consumer.blocked = 0
            self.standby = _placed(self.standby, consumer, before=True)
        self.consumers = NO_LIST
        self._levels.clear()

    def _succeed(self, standby: list[Consumer]) -> None:
        """Let the first of those take part that wait, one that wants everything before others; or all."""
        sole = next((one for one in standby if one.sole), None)
        if self.single_active or sole is not None:
            first = standby[0] if self.single_active or sole is None else sole
            standby.remove(first)
            self._activate(first)
        else:
            for consumer in standby:
                self._activate(consumer)
            standby.clear()

    def _activate(self, consumer: Consumer) -> None:
        if self.consumers is NO_LIST:
            self.consumers = []
        self.consumers.append(consumer)
        self._take_turns(consumer)

    def _take_turns(self, consumer: Consumer) -> None:
        """Let a consumer stand behind those of its priority."""
        levels = self._levels
        for position, level in enumerate(levels):
            priority = level[0].priority
            if priority == consumer.priority:
                levels[position] = _longer(level, consumer)
                return
            if priority < consumer.priority:
                levels.insert(position, [consumer])
                return
        levels.append([consumer])

    def remove_consumers(self, ended: Container[Consumer]) -> bool:
        """Let consumers go; False: none of them was here. The first that waits becomes active (R51)."""
        left = [consumer for consumer in self.consumers if consumer not in ended]
        standby = [consumer for consumer in self.standby if consumer not in ended]
        if len(left) + len(standby) == self.consumer_count:
            return False
        self.consumers = left or NO_LIST
        for level in self._levels:
            there = [consumer for consumer in level if consumer not in ended]
            if len(there) < len(level):
                level.clear()
                level.extend(there)
        self._drop_empty_levels()
        if standby and not left:
            self._succeed(standby)
        self.standby = standby or NO_LIST
        if self.choice is not None:
            self.choice.left(ended)
        if not left:
            self.rest()
        self.wake()
        return True

    def dismiss_consumers(self) -> list[Consumer]:
        """Let all consumers go, as the queue is deleted; return them."""
        dismissed = [*self.consumers, *self.standby]
        self.consumers, self.standby = NO_LIST, NO_LIST
        self._levels.clear()
        return dismissed

    def move_back(self, served: list[Consumer]) -> None:
        """Let consumers that were served, all of one priority, stand behind the others of it.

        Cost: O(those that stood before the last of them).
        """
        priority = served[0].priority
        for level in self._levels:
            if level[0].priority == priority:
                break
        else:
            return
        count = len(served)
        if count == len(level):
            return
        if level[0] is served[0] and level[count - 1] is served[-1]:
            assert isinstance(level, deque), "there are others"
            level.rotate(-count)
            return
        _drop_first(level, served)
        level.extend(served)

    def block(self, tired: list[Consumer]) -> None:
        """Take consumers without credit out of the turns. Cost: O(those that stood before them)."""
        for consumer in tired:
            self._blocks += 1
            consumer.blocked = self._blocks
            if consumer.pool.credit <= 0:
                consumer.pool.wait(consumer)
        levels = self._levels
        if len(levels) == 1 and len(levels[0]) == len(tired):
            levels.clear()
            return
        position = 0
        for level in levels:
            count = sum([consumer.priority == level[0].priority for consumer in tired[position:]])
            _drop_first(level, tired[position : position + count])
            position += count
        self._drop_empty_levels()

    def _drop_empty_levels(self) -> None:
        self._levels[:] = [level for level in self._levels if level]

    def unblock_one(self, consumer: Consumer) -> None:
        """Let a consumer that has credit again stand behind those that wait already."""
        consumer.blocked = 0
        levels = self._levels
        if not levels:
            levels.append([consumer])
        elif levels[-1][0].priority == consumer.priority:
            levels[-1] = _longer(levels[-1], consumer)
        else:
            self._take_turns(consumer)

    def unblock(self, consumers: Iterable[Consumer]) -> None:
        """The same for those of several that are blocked and have credit, in the order of their turns."""
        waiting = [consumer for consumer in consumers if consumer.blocked and consumer.credit > 0]
        if len(waiting) > 1:
            waiting.sort(key=_BLOCKED)
        for consumer in waiting:
            self.unblock_one(consumer)

    def set_ack_timeout(self, limit_ms: int | None) -> None:
        """Limit how long deliveries may stay unanswered, also those of consumers that are there already."""
        self.ack_timeout_ms = limit_ms
        if limit_ms:
            for consumer in (*self.consumers, *self.standby):
                if not consumer.no_ack:
                    consumer.sink.time_answers(self)

    def hold(self) -> None:
        """Hand nothing out until `go_on`: messages that were out come back, before what is ready."""
        self._returns += 1
        self.turns = ()

    def go_on(self) -> None:
        """One of those who held the queue has given back everything."""
        self._returns -= 1
        if not self._returns and not self.deleted:
            self.turns = () if self.paused else self._levels
            self.tell_waiting()
            self.wake()

    def pause(self) -> None:
        """Hand nothing out to consumers until `resume`; who asks for single messages still gets them."""
        self.paused = True
        self.turns = ()

    def resume(self) -> None:
        """Hand messages out again."""
        self.paused = False
        if not self._returns and not self.deleted:
            self.turns = self._levels
            self.wake()

    @property
    def held(self) -> bool:
        """Is nothing to be handed out now?"""
        return self._returns > 0

    # --- messages ----------------------------------------------------------------------------------

    def take(self, count_max: int) -> Run | None:
        """Hand out the next messages, at most `count_max`, as one run; they count as unacknowledged.

        None: nothing is ready, or it rests on disk and was asked for (`wake` follows when it is here).
        """
        if self.timed:
            self.expire()
        for lane in self.lanes:
            if lane.released or lane.ready or lane.passed:
                return lane.take(count_max)
        return None

    def purge(self) -> int:
        """Drop all ready messages, and those that are held until they are; return how many."""
        count = self.ready_count + self.delayed_count
        for lane in self.lanes:
            lane.purge()
        if self.delayed is not None:
            self.delayed.forget()
        self.ready_count = self.ready_bytes = 0
        self.unreadable = False
        self.active_ms = self._changes.now_ms
        return count

    def invalidate(self) -> None:
        """Let every route that leads here by its name alone be resolved anew."""
        self.stamp.valid = False
        self.stamp = Stamp()

    def close(self) -> None:
        """Let go of everything; the queue is deleted."""
        self.deleted = True
        self.expiry = None
        self.stamp.valid = False
        for lane in self.lanes:
            lane.close()
        if self.delayed is not None:
            self.delayed.forget()
        # Deliveries that are out know their lane and with it the queue, but not the other way round.
        self.lanes.clear()
        self.choice, self.dispatcher = None, dispatch
        self.ready_count = self.ready_bytes = self.unacked_count = self.unacked_bytes = 0
        # Last: whoever is told may end its channel, which gives back what this queue has already let go.
        self.tell_waiting()

    def ready_runs(self) -> Iterator[Run]:
        """Everything that waits, in the order in which it will be delivered; released stripes interleave."""
        for lane in self.lanes:
            yield from lane.ready_runs()

    def outstanding(self) -> Iterator[Entry]:
        """Deliveries that are not answered yet."""
        for lane in self.lanes:
            yield from lane.outstanding

    def delay(self, run: Run, due_ms: int) -> None:
        """Hold messages that came back: they are neither ready nor out before that time (R53)."""
        if self.delayed is None:
            self.delayed = Delayed(self, self._changes)
        self.delayed.add(run, due_ms)

    def rest(self) -> None:
        """Nothing has happened here for a while: take no more memory than a queue that was never used."""
        for lane in self.lanes:
            lane.rest()

    # --- limits and dead letters -------------------------------------------------------------------

    def trim(self) -> None:
        """Drop messages until the limits are kept (R46), if that is how they are kept: from the head, or
        those that are chosen.

        What rests on disk and has to be forwarded is asked for, and the limits are kept when it has come.
        Where very many are too much, because a limit is new, some go in each tick.
        """
        limits = self.limits
        if limits is None or limits.rejects:
            return
        left = TRIMMED_AT_ONCE
        while not limits.have_room(self, 0, 0):
            if left <= 0:
                self.wake()
                return
            left -= 1
            if limits.eviction is not None:
                left -= EVICTION_WEIGHT
                excess = self.ready_count + self.delayed_count + self.dead_count - limits.length
                if limits.eviction.evict(self, max(1, excess)):
                    continue
            lane = next((lane for lane in self.lanes if lane.released or lane.ready or lane.passed), None)
            if lane is None or not lane.drop_head(limits):
                return

    def first_estimated(self) -> Run | Stretch | None:
        """The first run of which only the engine knows how many bytes it has."""
        if self.estimated:
            for lane in self.lanes:
                runs: Iterable[Run | Stretch] = (*lane.passed, *lane.released, *lane.ready)
                for run in runs:
                    if run.estimated:
                        return run
            self.estimated = False
        return None

    def owes_turns(self) -> bool:
        """Could consumers have had some of what is ready by now? A tick comes for them soon."""
        return bool(self.ready_count) and any(
            consumer.credit > 0 and consumer.pool.credit > 0 for level in self.turns for consumer in level
        )

    def count_deaths(self, reason: str, count: int) -> None:
        """Count messages that die here, whether they are forwarded or dropped."""
        if reason == EXPIRED:
            self.counters.expired += count
        elif reason != MAXLEN:
            self.counters.killed += count
        strategy = DISABLED if self.dead_letters is None else self.dead_letters.strategy
        self._changes.count_deaths(self.kind, strategy, reason, count)

    def let_die(self, reason: str, messages: list[Message]) -> None:
        """Let messages that the queue never took be forwarded as its dead letters."""
        self.count_deaths(reason, len(messages))
        if self.dead_letters is not None:
            self._changes.dying.append(Dying(self, reason, None, messages))

    # --- time to live ------------------------------------------------------------------------------

    def expire(self, *, at_once: bool = False) -> None:
        """Drop messages at the head whose time is over, and ask to be looked at when the next one's is.

        A time to live of 0 leaves a message until whoever waits for it had a chance; `at_once`: all here had.

        Only the head is examined (R44): a message behind one that lives longer waits for it, and so does
        one of a lower priority; and all wait for messages that are on their way back.
        """
        if self._returns:
            return
        if at_once:
            for lane in self.lanes:
                lane.give_chances()
        for lane in self.lanes:
            lane.expire()
            if lane.released or lane.ready or lane.passed:
                return

    def look_at(self, due_ms: int) -> None:
        """Have the queue looked at when this time has come."""
        if self._timer_ms is None or due_ms < self._timer_ms:
            self._timer_ms = due_ms
            self._changes.timed.append((due_ms, self))

    def on_timer(self, now_ms: int) -> None:
        """The time asked for has come."""
        if self._timer_ms is not None and self._timer_ms <= now_ms:
            self._timer_ms = None
        self.wake()

    # --- memory and disk ---------------------------------------------------------------------------

    def when_loaded(self, again: Callable[[], None]) -> None:
        """Call back once when messages that `take` asked for are in memory."""
        if self._waiting is NO_LIST:
            self._waiting = []
        self._waiting.append(again)

    def tell_waiting(self) -> None:
        """Messages have come from disk, or never will."""
        waiting, self._waiting = self._waiting, NO_LIST
        for again in waiting:
            again()

    def unload(self, memory_budget: int) -> None:
        """Let go of messages that the disk holds until the budget is kept, the last to be delivered first.

        Near consumers some are kept; what consumers have and do not answer goes before. Cost: O(let go).
        """
        for lane in self.lanes:
            if lane.outstanding:
                lane.give_up(memory_budget)
        if self.delayed_count and self.delayed is not None:
            self.delayed.give_up(memory_budget)
        count = self.ready_count
        size = self.ready_bytes
        changes = self._changes
        for lane in reversed(self.lanes):
            for run in lane.unloadable():
                if changes.resident_bytes <= memory_budget:
                    return
                if self.consumers and count < READ_AHEAD_MESSAGES and size < READ_AHEAD_BYTES:
                    return
                lane.unload(run)
                count -= len(run.sequences)
                size -= run.body_bytes


def _longer(level: Level, consumer: Consumer) -> Level:
    """A level with one more, who stands behind the others."""
    if isinstance(level, deque):
        level.append(consumer)
        return level
    return deque((*level, consumer))


def _placed(consumers: list[Consumer], consumer: Consumer, *, before: bool = False) -> list[Consumer]:
    """These with one more, behind those of its priority, or before them."""
    if consumers is NO_LIST:
        return [consumer]
    position, highest = len(consumers), consumer.priority + before
    while position and consumers[position - 1].priority < highest:
        position -= 1
    consumers.insert(position, consumer)
    return consumers


def _drop_first(level: Level, gone: list[Consumer]) -> None:
    """Take these out of a level; they stand near its front, in this order, perhaps with others between."""
    if not isinstance(level, deque):
        if gone:
            level.clear()
        return
    kept: list[Consumer] = []
    for consumer in gone:
        while (first := level.popleft()) is not consumer:
            kept.append(first)
    level.extendleft(reversed(kept))
