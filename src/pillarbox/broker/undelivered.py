"""At-least-once dead lettering: what no queue takes stays with its source and is tried again (R49).

A dead letter is published when its message dies (`deadletter`). If it has no route, the exchange is missing,
or a target is full and refuses it, the message moves, in the same group of the journal, into a hidden queue
of its source: a lane for each reason, so that a restart knows why everything there died. From the hidden
queue a bounded number of messages is out at a time, each a *trial*. A trial that every target has taken is
settled; the others are tried again when `RETRY_MS` have passed, when the settings of the source change, and
after a restart. What died later waits behind, in order.

Nothing of this is delivered to consumers of the source. It counts for the source's limits and in its total.
Not here: how a dead letter is made and routed (`deadletter`).

Source: RabbitMQ's rabbit_fifo_dlx and rabbit_fifo_dlx_worker. Difference: a target that has a message is
remembered until a restart in both, but here the move is one group, so a crash alone doubles nothing, streams
aside.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import msgspec

from pillarbox.broker import definitions as kept
from pillarbox.broker.deadletter import AT_LEAST_ONCE, CONFIRMED, REASONS
from pillarbox.broker.queue import Queue
from pillarbox.broker.run import message_bytes_of

if TYPE_CHECKING:
    from pillarbox.broker.core import Core
    from pillarbox.broker.run import Run
    from pillarbox.engine.base import Message, Recovery

TRIALS_MAX = 32
"""Messages of one source that are tried at a time; those behind wait. RabbitMQ's
`dead_letter_worker_consumer_prefetch`."""

RETRY_MS = 180_000
"""After which everything that was not taken is tried again. RabbitMQ's
`dead_letter_worker_publisher_confirm_timeout`."""

TURN_TRIALS = 64
"""Trials after which sockets are read again: about two milliseconds' work."""


class Trial(msgspec.Struct, eq=False):
    """A message that is being brought to its targets."""

    run: Run
    """The message in its lane, alone."""
    taken_by: frozenset[int] = frozenset()
    """Uids of the targets that have it."""
    tried_ms: int | None = None
    """When it was last published to somebody; None: it never had a route."""


class Undelivered:
    """The dead letters of one source that nobody took; see the module."""

    def __init__(self, core: Core, source: Queue, uid: int) -> None:
        self._core = core
        self.source = source
        self.queue = Queue(
            core.changes, uid, f"amq.dead.{source.name}", durable=True, priority_max=len(REASONS) - 1
        )
        self._trials: dict[Trial, None] = {}
        self._timer_ms: int | None = None

    def __repr__(self) -> str:
        behind = self.queue.ready_count
        return f"<Undelivered of {self.source.name!r} trials={len(self._trials)} behind={behind}>"

    # --- messages in -------------------------------------------------------------------------------

    @property
    def lets_pass(self) -> bool:
        """May a message that dies now be tried at once, or has it to wait behind others?"""
        return len(self._trials) < TRIALS_MAX and not self.queue.ready_count

    def keep(self, reason: str, messages: list[Message], taken_by: frozenset[int], tried: bool) -> None:
        """Take messages that died and that some target has not taken, or that nobody has tried yet.

        `taken_by` are those that have it (of a single message); `tried`: it was published to somebody.
        """
        core = self._core
        for persistent in dict.fromkeys([message.persistent for message in messages]):
            part = [message for message in messages if message.persistent is persistent]
            core.append_to_lane(
                self.queue, part, REASONS.index(reason), persistent=persistent, size=message_bytes_of(part)
            )
        if len(self._trials) < TRIALS_MAX and self.queue.ready_count == len(messages):
            for run in self._next(len(messages)):
                self._begin(run, taken_by, core.changes.now_ms if tried else None)
        self._note_size()
        self._look_at(core.changes.now_ms + RETRY_MS)

    def _next(self, count_max: int) -> Iterator[Run]:
        """Take messages out of the hidden queue, one by one; what rests on disk is asked for."""
        run = self.queue.take(count_max)
        if run is None:
            if self.queue.ready_count:
                self.queue.when_loaded(self._go_on)
            return
        self.queue.unacked_count -= len(run.sequences)
        self.queue.unacked_bytes -= run.body_bytes
        for position in range(len(run.sequences)):
            yield run.cut(slice(position, position + 1))

    def _begin(self, run: Run, taken_by: frozenset[int] = frozenset(), tried_ms: int | None = None) -> Trial:
        run.lane.doom(run, REASONS[run.lane.priority])
        trial = Trial(run, taken_by, tried_ms)
        self._trials[trial] = None
        return trial

    def _note_size(self) -> None:
        """Tell the source, whose limits count what is here."""
        trials = self._trials
        self.source.dead_count = self.queue.ready_count + len(trials)
        self.source.dead_bytes = self.queue.ready_bytes + sum([trial.run.body_bytes for trial in trials])

    # --- trials ------------------------------------------------------------------------------------

    def retry(self) -> None:
        """Try everything again that was not published lately, and what follows in its place."""
        core = self._core
        if core.failure is not None or self.queue.deleted:
            # It cannot be stored elsewhere; a restart finds it here.
            return
        now_ms = core.changes.now_ms
        for trial in list(self._trials):
            if trial.tried_ms is None or trial.tried_ms + RETRY_MS <= now_ms:
                self._try(trial)
        self._advance()

    def _advance(self) -> None:
        """Begin trials while there is room for them; what is too much for this turn goes on in the next."""
        done = 0
        while self.queue.ready_count and len(self._trials) < TRIALS_MAX:
            if done >= TURN_TRIALS:
                self._look_at(self._core.changes.now_ms + 1)
                break
            runs = list(self._next(TRIALS_MAX - len(self._trials)))
            if not runs:
                break
            for run in runs:
                self._try(self._begin(run))
            done += len(runs)
        self._note_size()
        if self._trials:
            self._look_at(self._core.changes.now_ms + RETRY_MS)

    def _go_on(self) -> None:
        """Messages have come from disk."""
        if self._core.failure is None and not self.queue.deleted:
            self._advance()

    def _try(self, trial: Trial) -> None:
        core = self._core
        run = trial.run
        assert run.messages is not None
        outcome = core.dead_letters.offer(
            self.source, REASONS[run.lane.priority], run.messages[0], trial.taken_by
        )
        trial.taken_by = outcome.taken_by
        if outcome.tried:
            trial.tried_ms = core.changes.now_ms
        if outcome.done:
            del self._trials[trial]
            core.changes.note_move()
            run.lane.forwarded(run)
            core.changes.count_deaths(self.source.kind, AT_LEAST_ONCE, CONFIRMED, 1)

    # --- time --------------------------------------------------------------------------------------

    def _look_at(self, due_ms: int) -> None:
        if self._timer_ms is None or due_ms < self._timer_ms:
            self._timer_ms = due_ms
            self._core.scheduler.at(due_ms, self)

    def on_timer(self, now_ms: int) -> None:
        """Try again, if this is the time that was asked for last."""
        if self._timer_ms is not None and self._timer_ms <= now_ms:
            self._timer_ms = None
            self.retry()

    # --- restart and end ---------------------------------------------------------------------------

    def restore(self, recovery: Recovery) -> None:
        """Take over what an engine found, and try it again soon."""
        for lane in self.queue.lanes:
            state = recovery.queues.get(lane.uid)
            if state is not None:
                lane.restore(state)
        self._note_size()
        if self.queue.ready_count:
            self._look_at(self._core.changes.now_ms)

    def close(self) -> None:
        """Drop everything that is here."""
        changes = self._core.changes
        for trial in self._trials:
            changes.resident_bytes -= trial.run.held_bytes
            del trial.run.lane.dying[trial.run]
        self._trials.clear()
        self._core.undefine("dead", str(self.queue.uid))
        for lane in self.queue.lanes:
            self._core.undefine("lane", str(lane.uid))
        self.queue.close()
        self.source.dead_count = self.source.dead_bytes = 0


class UndeliveredOfAll:
    """What is undelivered of all queues of a broker."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self.by_source: dict[Queue, Undelivered] = {}

    def __repr__(self) -> str:
        return f"<UndeliveredOfAll sources={len(self.by_source)}>"

    def of(self, source: Queue) -> Undelivered:
        """What is undelivered of a queue, with a place for it if there is none."""
        found = self.by_source.get(source)
        if found is None:
            uid = self._core.take_uid()
            found = self.by_source[source] = Undelivered(self._core, source, uid)
            self._core.define("dead", str(uid), kept.DeadDefinition(source.uid))
        return found

    def restore(self, uid: int, source: Queue) -> Undelivered:
        """Make the place that a definition speaks of; its messages come later (`Undelivered.restore`)."""
        found = self.by_source[source] = Undelivered(self._core, source, uid)
        return found

    def settings_changed(self, source: Queue) -> None:
        """Try again under new settings, or drop everything if the queue has become at-most-once.

        RabbitMQ does so, too; a policy may have named another exchange.
        """
        found = self.by_source.get(source)
        if found is None:
            return
        rule = source.dead_letters
        if rule is not None and rule.at_least_once:
            found.retry()
        else:
            self.remove(source)

    def remove(self, source: Queue) -> None:
        """Drop what is undelivered of a queue."""
        found = self.by_source.pop(source, None)
        if found is not None:
            found.close()
