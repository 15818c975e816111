"""Choice: dispatch where not every consumer may have every message: selectors and message groups (A23, A28).

A queue has one while it needs one (`begin_choice`): since a consumer with a selector came, or a message that
belongs to a group; or where messages do not leave it one after the other (`keep`, A27). Its lanes then keep
what was passed over on a shelf (see `choosing_lane`). Each consumer has a place in each lane: it has looked
at everything before its *cursor*, but for what came back since (`again`). So a consumer looks at a message
once, and what nobody wants holds nobody up. Consumers whose cursor is at the front share what comes; the
others catch up, some messages a tick, and wait for the disk by themselves.

Messages of one group go to the consumer that got the first of them, as long as it is there. A message whose
number in the group is -1 ends the group, one whose number is 1 begins it anew.

Of a queue that *shows* what it has, nobody takes anything: all consumers look through what there is and what
comes, and get copies of what they want, without acknowledgements.

Source: ActiveMQ 5.17, asked with `tests/compare_messaging/scenarios/stomp_on_activemq.py`. Not here: turns,
credit (`queue`, `consumer`). Invariant: a message before the cursor of a consumer that is ready and that the
consumer may have and wants stands in its `again`.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import deque
from collections.abc import Container, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import msgspec

from pillarbox.broker.choosing_lane import ChoosingLane, choosing, plain
from pillarbox.broker.dispatch import dispatch, hand_over
from pillarbox.broker.last_values import LAST_VALUE_KEY, LastValues
from pillarbox.broker.run import Run

if TYPE_CHECKING:
    from pillarbox.broker.choosing_lane import Stretch
    from pillarbox.broker.consumer import Consumer
    from pillarbox.broker.dialects import Dialects, Neutral
    from pillarbox.broker.lane import Lane
    from pillarbox.broker.queue import Queue
    from pillarbox.broker.selectors import Lookup, Selector
    from pillarbox.engine.base import Message

MESSAGE_GROUPS: Final = "x-message-groups"
"""Argument of a queue: the groups of its messages count, whoever sends them."""

NON_DESTRUCTIVE: Final = "x-non-destructive"
"""Argument of a queue: it shows what it has."""

GROUP: Final = "JMSXGroupID"
GROUP_NUMBER: Final = "JMSXGroupSeq"
GROUP_FIRST: Final = "JMSXGroupFirstForConsumer"

EFFORT: Final = 2000
"""Of one queue in one tick: about two milliseconds' work. What is left comes in the next one."""
LOOK, READ, GIVE = 1, 15, 10
"""What it takes to look at a message whose properties are known, to read them, to hand a message out."""

AGAIN_MAX: Final = 1000
"""Messages that came back and that a consumer remembers; with more, it looks at all behind the first."""
KNOWN_MAX: Final = 1024
"""Distinct properties of messages that a queue remembers."""
GROUPS_MAX: Final = 65_536
"""Groups that a queue remembers; the oldest goes first, and whoever gets its next message has it then.
ActiveMQ remembers 1024."""


class Place:
    """Where a consumer has come to."""

    __slots__ = ("again", "consumer", "cursors", "groups", "selector")

    def __init__(self, consumer: Consumer) -> None:
        self.consumer = consumer
        self.selector: Selector | None = consumer.selector
        self.cursors: dict[Lane, int] = {}
        self.again: dict[Lane, list[int]] = {}
        """What came back before the cursor, ascending."""
        self.groups: set[str] = set()

    def __repr__(self) -> str:
        return f"<Place of {self.consumer.tag!r} {list(self.cursors.values())}>"

    @property
    def able(self) -> bool:
        """May it be given a message?"""
        consumer = self.consumer
        return consumer.credit > 0 and consumer.pool.credit > 0 and consumer.outlet.writable

    def is_at(self, lane: Lane, frontier: int) -> bool:
        """Has it looked at everything before this?"""
        return self.cursors.get(lane, 0) >= frontier and not self.again.get(lane)

    def rewind(self, lane: Lane, sequence: int) -> None:
        """Have it look again at everything from here on."""
        if self.cursors.get(lane, 0) > sequence:
            self.cursors[lane] = sequence
            again = self.again.get(lane)
            if again:
                del again[bisect_left(again, sequence) :]


class Group:
    """Messages that go to one consumer."""

    __slots__ = ("owner", "passed")

    def __init__(self, owner: Place) -> None:
        self.owner = owner
        self.passed: dict[Lane, int] = {}
        """The first message of it that others have passed over, by lane."""


class Traits(msgspec.Struct, eq=False):
    """What the properties of a message say, as far as it matters here."""

    said: Neutral
    lookup: Lookup
    group: str | None
    number: int
    met: dict[Selector, bool]

    def meets(self, selector: Selector | None) -> bool:
        """Does the message meet it?"""
        if selector is None:
            return True
        known = self.met.get(selector)
        if known is None:
            known = self.met[selector] = selector(self.lookup)
        return known


Levels = list[deque[Place]]
"""Who stands at the front and may be given something: by priority, in the order of their turns."""


class Choice:
    """See the module."""

    def __init__(self, queue: Queue, dialects: Dialects) -> None:
        self._queue = queue
        self._dialects = dialects
        self.selects = False
        """There may be consumers with selectors."""
        self.keeps_groups = False
        """Groups of messages count."""
        self.shows = False
        """Consumers that do not acknowledge are shown messages, which stay."""
        self.values: LastValues | None = None
        """Of messages with the same value of a header the last one counts; None: all do."""
        self.groups: dict[str, Group] = {}
        self._places: dict[Consumer, Place] = {}
        self._known: dict[tuple[str, bytes, bool], Traits] = {}
        self._effort = self._floor = 0
        self._more = False
        """There was more to do than a tick allows."""
        self._freed: dict[Lane, int] = {}
        """Behind which messages those are that belonged to somebody, and do not any more."""

    def __repr__(self) -> str:
        return f"<Choice of {self._queue.name!r} places={len(self._places)} groups={len(self.groups)}>"

    # --- who comes and goes ------------------------------------------------------------------------------

    def left(self, ended: Container[Consumer]) -> None:
        """Consumers have gone; others may have what was theirs alone."""
        for consumer in [one for one in self._places if one in ended]:
            place = self._places.pop(consumer)
            for name in list(place.groups):
                self._free(name)
        self._rewind()
        queue = self._queue
        self.selects = any(one.selector is not None for one in (*queue.consumers, *queue.standby))
        self._end_if_idle()

    def keep(self, last_value_key: str | None, shows: bool) -> None:
        """Say what becomes of messages, from now on."""
        if last_value_key is None:
            self.values = None
        elif self.values is None or self.values.key != last_value_key:
            self.values = LastValues(self._queue, last_value_key, self._header_of)
        if self.shows and not shows:
            # What was shown is still to be had.
            for place in self._places.values():
                place.cursors.clear()
                place.again.clear()
        self.shows = shows
        self._end_if_idle()
        self._queue.wake()

    def _header_of(self, message: Message, name: str) -> Any:
        return self._traits(message).said.headers.get(name)

    def take_in(self, lane: Lane) -> None:
        """The queue has one lane more."""
        choosing(lane, self)

    def returned(self, lane: Lane, sequences: Sequence[int]) -> None:
        """Messages stand in their place again: who has looked at what is behind looks at them once more."""
        for place in self._places.values():
            cursor = place.cursors.get(lane, 0)
            if cursor <= sequences[0]:
                continue
            again = place.again.setdefault(lane, [])
            for sequence in sequences:
                if sequence >= cursor:
                    break
                insort(again, sequence)
            if len(again) > AGAIN_MAX:
                place.rewind(lane, again[0])

    def _end_if_idle(self) -> None:
        """Let the queue be one without choice again, if it does not need it any more."""
        queue = self._queue
        stays = self.selects or self.keeps_groups or self.shows or self.values is not None
        if not (stays or any(lane.passed for lane in queue.lanes)):
            for lane in queue.lanes:
                plain(lane)
            queue.choice = None
            queue.dispatcher = dispatch

    # --- a tick ------------------------------------------------------------------------------------------

    def serve(self) -> int:
        """Hand out what may be, as far as a tick reaches; return how many messages it was."""
        queue = self._queue
        if queue.timed:
            queue.expire()
        if not queue.turns or not queue.ready_count:
            return 0
        levels = self._able()
        before = queue.unacked_count, queue.counters.deliver_no_ack
        self._effort, self._more = EFFORT, False
        for lane in queue.lanes:
            assert isinstance(lane, ChoosingLane)
            if self.shows:
                lane.shelve(lane.sequence_next)
            levels = self._serve_lane(lane, levels)
            if not any(levels):
                break
        self._rewind()
        if self._more:
            queue.wake()
        done = queue.unacked_count - before[0] + queue.counters.deliver_no_ack - before[1]
        self._end_if_idle()
        return done

    def _serve_lane(self, lane: ChoosingLane, levels: Levels) -> Levels:
        """Hand out what may be of one lane. Who is left wants nothing more of it."""
        if not lane.passed:
            self._move_to(lane, levels)
            return self._serve_front(lane, levels)
        frontier = lane.frontier
        front: Levels = []
        behind = False
        for level in levels:
            front.append(deque([place for place in level if place.is_at(lane, frontier)]))
            behind = behind or len(front[-1]) < len(level)
        if behind:
            # Who looks through old messages leaves time for what comes.
            self._floor = EFFORT // 2
        front = self._serve_front(lane, front)
        self._floor = 0
        if behind and self._effort > 0:
            at_front = {place for level in front for place in level}
            caught_up = False
            for position, level in enumerate(levels):
                there: deque[Place] = deque()
                for place in level:
                    if place in at_front:
                        there.append(place)
                    elif not place.is_at(lane, frontier) and self._catch_up(place, lane) and place.able:
                        there.append(place)
                        caught_up = True
                levels[position] = there
            front = self._serve_front(lane, levels) if caught_up else front
        lane.passed.tidy()
        return front

    def _is_spent(self) -> bool:
        """Is it time for others? Then this goes on in the next tick."""
        if self._effort > self._floor:
            return False
        self._more = True
        return True

    def _able(self) -> Levels:
        """Who may be given something; who has no credit does not wait for its turn any more."""
        queue = self._queue
        places = self._places
        levels: Levels = []
        tired: list[Consumer] = []
        for level in queue.turns:
            able: deque[Place] = deque()
            for consumer in level:
                if not consumer.outlet.writable:
                    continue
                if consumer.credit > 0 and consumer.pool.credit > 0:
                    place = places.get(consumer)
                    if place is None:
                        place = places[consumer] = Place(consumer)
                    able.append(place)
                else:
                    tired.append(consumer)
            levels.append(able)
        if tired:
            queue.block(tired)
        return levels

    def _move_to(self, lane: ChoosingLane, levels: Levels) -> None:
        """Nothing was passed over: everybody is at the front."""
        frontier = lane.frontier
        for level in levels:
            for place in level:
                place.cursors[lane] = frontier
                place.again.pop(lane, None)

    # --- what others have passed over --------------------------------------------------------------------

    def _catch_up(self, place: Place, lane: ChoosingLane) -> bool:
        """Let one look at what it has not seen yet. False: it could not, or has no credit any more."""
        shelf = lane.passed
        again = place.again.get(lane)
        while again:
            found = shelf.find(again[0])
            if found is not None:
                stretch, position = found
                if stretch.messages is None:
                    lane.want(shelf.at(again[0]))
                    return False
                if self._is_spent():
                    return False
                self._look(place, lane, stretch, position)
            again.pop(0)
            if not place.able:
                return False
        frontier = lane.frontier
        cursor = place.cursors.get(lane, 0)
        if cursor >= frontier:
            return True
        at = shelf.at(cursor)
        while at < len(shelf.stretches):
            stretch = shelf.stretches[at]
            if stretch.sequences:
                if stretch.messages is None:
                    lane.want(at)
                    return False
                if not self._look_through(place, lane, stretch, cursor):
                    return False
            at += 1
        place.cursors[lane] = frontier
        return True

    def _look_through(self, place: Place, lane: ChoosingLane, stretch: Stretch, cursor: int) -> bool:
        """Look at all of a stretch from the cursor on. False: it was not all."""
        position = bisect_left(stretch.sequences, cursor)
        while position < len(stretch.sequences):
            if not place.able or self._is_spent():
                return False
            place.cursors[lane] = stretch.sequences[position] + 1
            if not self._look(place, lane, stretch, position):
                position += 1
        lane.leave(stretch)
        return place.able

    def _look(self, place: Place, lane: ChoosingLane, stretch: Stretch, position: int) -> bool:
        """Let one have a message, if it wants it and may; True: the message is gone."""
        assert stretch.messages is not None
        self._effort -= LOOK
        message, sequence = stretch.messages[position], stretch.sequences[position]
        if self._queue.timed and lane.is_over(message, sequence):
            lane.lapse_passed(stretch, position)
            return True
        traits = self._traits(message)
        if not self._may_have(place, traits, lane, sequence) or not traits.meets(place.selector):
            return False
        if self.shows and place.consumer.no_ack:
            self._show(place.consumer, lane, sequence, message)
            return False
        self._give(place, traits, lane, lane.take_passed(stretch, position, position + 1))
        return True

    def _show(self, consumer: Consumer, lane: Lane, sequence: int, message: Message) -> None:
        """Give one a copy of a message."""
        self._effort -= GIVE
        single, size = range(sequence, sequence + 1), len(message.body)
        run = Run(lane, single, [message], size, None, False, message.accepted_ms, False)
        ledger = consumer.ledger
        ledger.counters.deliver_no_ack += 1
        consumer.deliver(run, ledger.skip(1))

    # --- what nobody has looked at -----------------------------------------------------------------------

    def _serve_front(self, lane: ChoosingLane, levels: Levels) -> Levels:
        """Let all at the front have what comes, in turn. Who is left has looked at everything."""
        while lane.ready and any(levels):
            front = None if self._is_spent() else lane.front()
            if front is None:
                self._stop_at(lane, levels)
                return []
            run, start = front
            stop, kept = self._serve_run(lane, levels, run, start)
            lane.looked_at(run, start, stop, kept)
        self._stop_at(lane, levels)
        return levels

    def _stop_at(self, lane: ChoosingLane, levels: Levels) -> None:
        frontier = lane.frontier
        for level in levels:
            for place in level:
                place.cursors[lane] = frontier

    def _serve_run(self, lane: ChoosingLane, levels: Levels, run: Run, start: int) -> tuple[int, list[int]]:
        """The same for one run: how far it was looked at, and the positions of what was passed over."""
        messages, sequences = run.messages, run.sequences
        assert messages is not None
        timed = self._queue.timed
        kept: list[int] = []
        for position in range(start, len(sequences)):
            if self._is_spent():
                return position, kept
            self._effort -= LOOK
            message, sequence = messages[position], sequences[position]
            if timed and lane.is_over(message, sequence):
                lane.lapse(run.cut(slice(position, position + 1)))
                continue
            traits = self._traits(message)
            place = self._taker(lane, levels, traits, sequence)
            if place is not None:
                one = run.one(position) if run.counts is None else run.cut(slice(position, position + 1))
                lane.hand_out(one)
                self._give(place, traits, lane, one)
                self._next_turn(place, lane, levels, sequence)
            elif any(levels):
                kept.append(position)
            else:
                return position, kept
        return len(sequences), kept

    def _taker(self, lane: ChoosingLane, levels: Levels, traits: Traits, sequence: int) -> Place | None:
        """Whose turn it is to have this message; who has no credit any more stands there no longer."""
        for level in levels:
            for place in tuple(level):
                if not place.able:
                    level.remove(place)
                    place.cursors[lane] = sequence
                elif traits.meets(place.selector) and self._may_have(place, traits, lane, sequence):
                    return place
        return None

    def _next_turn(self, place: Place, lane: ChoosingLane, levels: Levels, sequence: int) -> None:
        """One was served: others come first now."""
        for level in levels:
            if place in level:
                level.remove(place)
                if place.able:
                    level.append(place)
                else:
                    place.cursors[lane] = sequence + 1
        self._queue.move_back([place.consumer])

    # --- messages ----------------------------------------------------------------------------------------

    def _traits(self, message: Message) -> Traits:
        key = (message.address.origin, message.properties, message.persistent)
        known = self._known.get(key)
        if known is not None:
            return known
        from pillarbox.broker.selectors import lookup_of

        self._effort -= READ
        said = self._dialects.said(message)
        group = said.headers.get(GROUP) if self.keeps_groups else None
        name = group if isinstance(group, str) and group else None
        traits = Traits(said, lookup_of(said), name, _number(said.headers.get(GROUP_NUMBER)), {})
        if len(self._known) >= KNOWN_MAX:
            self._known.clear()
        self._known[key] = traits
        return traits

    def _may_have(self, place: Place, traits: Traits, lane: Lane, sequence: int) -> bool:
        """Does the group of a message, if it has one, allow that this consumer gets it?"""
        if traits.group is None or traits.number == 1:
            return True
        group = self.groups.get(traits.group)
        if group is None or group.owner is place:
            return True
        if group.passed.get(lane, sequence) >= sequence:
            group.passed[lane] = sequence
        return False

    def _give(self, place: Place, traits: Traits, lane: Lane, run: Run) -> None:
        """Hand out a run of one message."""
        self._effort -= GIVE
        name = traits.group
        if name is not None:
            group = self.groups.get(name)
            if group is None or traits.number == 1:
                self._assign(name, place)
                run.messages = [self._marked(message, traits) for message in run.messages or ()]
            elif traits.number < 0:
                self._free(name)
        hand_over(place.consumer, run, 1)

    def _marked(self, message: Message, traits: Traits) -> Message:
        """The message, saying that it is the first of its group that this consumer gets."""
        dialect = self._dialects.of(message.address.origin)
        if dialect is None:
            return message
        said = msgspec.structs.replace(traits.said, headers={**traits.said.headers, GROUP_FIRST: True})
        return msgspec.structs.replace(message, properties=dialect.write(said, message))

    # --- groups ------------------------------------------------------------------------------------------

    def _assign(self, name: str, place: Place) -> None:
        if name in self.groups:
            self._free(name)
        elif len(self.groups) >= GROUPS_MAX:
            self._free(next(iter(self.groups)))
        self.groups[name] = Group(place)
        place.groups.add(name)

    def _free(self, name: str) -> None:
        """Nobody has the group any more: what of it was passed over is everybody's."""
        group = self.groups.pop(name)
        group.owner.groups.discard(name)
        for lane, sequence in group.passed.items():
            self._freed[lane] = min(sequence, self._freed.get(lane, sequence))
            # Before anything else is handed out, or what comes later would come first.
            self._effort, self._more = 0, True

    def _rewind(self) -> None:
        """Let everybody look again at what is free now."""
        freed, self._freed = self._freed, {}
        for lane, sequence in freed.items():
            for place in self._places.values():
                place.rewind(lane, sequence)


def _number(value: Any) -> int:
    """The number of a message in its group; 0: it has none."""
    try:
        return int(value)
    except (TypeError, ValueError, OverflowError):
        return 0


def choose(queue: Queue) -> int:
    """Hand out the messages of a queue whose consumers choose: see `dispatch`."""
    assert queue.choice is not None
    return queue.choice.serve()


def begin_choice(queue: Queue, dialects: Dialects) -> Choice:
    """Let consumers of a queue choose from now on, if they do not yet; return what it has for that."""
    choice = queue.choice
    if choice is None:
        choice = queue.choice = Choice(queue, dialects)
        queue.dispatcher = choose
        for lane in queue.lanes:
            choosing(lane, choice)
    return choice


def keep_by(queue: Queue, settings: Mapping[str, Any], dialects: Dialects) -> None:
    """Have a queue keep what it has as its settings say."""
    key, shows = settings.get(LAST_VALUE_KEY) or None, bool(settings.get(NON_DESTRUCTIVE))
    if not queue.in_log and (key is not None or shows or queue.choice is not None):
        begin_choice(queue, dialects).keep(key, shows)
