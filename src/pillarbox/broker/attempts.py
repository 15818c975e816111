"""Attempts: how often messages came back to a queue that counts it, and what follows (R52, R53).

A message that came back too often dies; one that may be tried again is ready at once, or held for a while
(`retry`). How often is noted for the journal when messages come back, and again when they are handed out
once more: as if they were back already, as failed, because that is what a restart makes of them. What was
handed out for the first time needs no note: `delivered_through` says it.

Not here: what queues without a delivery limit do, which take no step for any of this (see `lane`).

Source: RabbitMQ, "Quorum Queues" (poison message handling, delayed retry), and what is said of `return_one`
in the source of v4.3.5. Invariant: what a checkpoint would say of a message is what the last fact said of it.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import TYPE_CHECKING

from pillarbox.broker.deadletter import DELIVERY_LIMIT
from pillarbox.engine.base import ReturnedFact

if TYPE_CHECKING:
    from pillarbox.broker.changes import Changes
    from pillarbox.broker.lane import Lane
    from pillarbox.broker.run import Run


def take_back(lane: Lane, changes: Changes, run: Run, limit: int, *, failed: bool) -> None:
    """Count that messages came back once more, and let each die, wait or be ready again."""
    queue = lane.queue
    never = [0] * len(run.sequences)
    counts = run.counts = [count + 1 for count in run.counts or never]
    if failed:
        run.failures = [count + 1 for count in run.failures or never]
    if not queue.requeues_count:
        counts = run.failures or never
    rule = queue.retry
    if rule is not None and not rule.covers(failed=failed):
        rule = None
    for part, count in _stretches(run, counts):
        if count > limit:
            _note(changes, part)
            lane.perish(part, DELIVERY_LIMIT)
        elif rule is not None:
            due_ms = changes.now_ms + rule.delay_ms(count)
            _note(changes, part, held_until_ms=due_ms)
            queue.delay(part, due_ms)
        else:
            _note(changes, part)
            lane.ready_again(part)
    queue.active_ms = changes.now_ms
    queue.wake()


def note_out(changes: Changes, run: Run) -> None:
    """Note that messages that had come back are handed out once more."""
    _note(changes, run, more=1)


def note_passed(changes: Changes, run: Run) -> None:
    """Note that messages were never out, although what stands behind them may be."""
    _note(changes, run)


def _note(changes: Changes, run: Run, *, more: int = 0, held_until_ms: int = 0) -> None:
    if run.stored:
        changes.returned += _facts(run, more, held_until_ms)


def _stretches(run: Run, values: list[int]) -> Iterator[tuple[Run, int]]:
    """Parts of a run whose messages have the same value, with that."""
    start = 0
    for value, part in groupby(values):
        stop = start + sum([1 for _ in part])
        yield run.cut(slice(start, stop)), value
        start = stop


def _facts(run: Run, more: int = 0, held_until_ms: int = 0) -> Iterator[ReturnedFact]:
    """What the counts of a run are, each raised by `more`."""
    uid = run.lane.uid
    counts = run.counts or []
    failures = run.failures or [0] * len(counts)
    start = 0
    for (count, failed), part in groupby(zip(counts, failures, strict=True)):
        stop = start + sum([1 for _ in part])
        yield ReturnedFact(uid, run.sequences[start:stop], count + more, failed + more, held_until_ms)
        start = stop


# --- checkpoint and restart ------------------------------------------------------------------------------


def known_facts(lane: Lane) -> Iterator[ReturnedFact]:
    """What a checkpoint has to keep of the messages of a lane that came back."""
    for run in (*lane.ready_runs(), *lane.dying):
        if run.stored:
            yield from _facts(run)
    for entry in lane.outstanding:
        run = entry.run.cut(slice(entry.start, entry.stop))
        if run.stored:
            yield from _facts(run, more=1)
    if lane.queue.delayed is not None:
        for run, due_ms in lane.queue.delayed.waiting(lane):
            if run.stored:
                yield from _facts(run, held_until_ms=due_ms)


def recall(lane: Lane, changes: Changes, facts: Iterable[ReturnedFact], limit: int) -> None:
    """Let restored messages have come back as often as the journal says, those that were out included.

    They die, or go on waiting, where that is due. Cost: O(what was delivered before the restart).
    """
    queue = lane.queue
    runs = [run for run in lane.ready if run.sequences[-1] <= lane.delivered_through]
    held: dict[Run, list[int]] = {}
    for run in runs:
        run.counts, run.failures = [1] * len(run.sequences), [1] * len(run.sequences)
    _apply(runs, facts, held)
    kept: list[Run] = []
    for run in runs:
        lane.ready.popleft()
        parts = list(_sorted_out(lane, run, held.get(run), limit, changes.now_ms))
        queue.ready_count += sum([len(part.sequences) for part in parts]) - len(run.sequences)
        queue.ready_bytes += sum([part.body_bytes for part in parts]) - run.body_bytes
        kept += parts
    if kept:
        lane.ready.extendleft(reversed(kept))


def _apply(runs: list[Run], facts: Iterable[ReturnedFact], held: dict[Run, list[int]]) -> None:
    """Write what the facts say, one after the other, into the counts of the runs they speak of."""
    lasts = [run.sequences[-1] for run in runs]
    for fact in facts:
        wanted = fact.sequences
        for place in range(bisect_left(lasts, wanted.start), len(runs)):
            run = runs[place]
            if run.sequences.start > wanted[-1]:
                break
            for positions in _positions(run.sequences, wanted):
                _fill(run.counts, positions, fact.count)
                _fill(run.failures, positions, fact.failures)
                if fact.held_until_ms or run in held:
                    _fill(held.setdefault(run, [0] * len(run.sequences)), positions, fact.held_until_ms)


def _positions(sequences: range, wanted: range) -> Iterator[range]:
    """Where those of the first range stand in it that the second one has as well."""
    if sequences.step == wanted.step == 1:
        start, stop = max(sequences.start, wanted.start), min(sequences.stop, wanted.stop)
        yield range(start - sequences.start, stop - sequences.start)
        return
    for position, sequence in enumerate(sequences):
        if sequence in wanted:
            yield range(position, position + 1)


def _fill(values: list[int] | None, positions: range, value: int) -> None:
    assert values is not None
    values[positions.start : positions.stop] = [value] * len(positions)


def _sorted_out(lane: Lane, run: Run, held: list[int] | None, limit: int, now_ms: int) -> Iterator[Run]:
    """The parts of a restored run that are ready; the others die, or wait."""
    queue = lane.queue
    counts = run.counts if queue.requeues_count else run.failures
    assert counts is not None
    fates = [
        -1 if count > limit else due_ms if due_ms > now_ms else 0
        for count, due_ms in zip(counts, held or [0] * len(counts), strict=True)
    ]
    for part, fate in _stretches(run, fates):
        if fate == 0:
            yield part
        elif fate < 0:
            lane.perish(part, DELIVERY_LIMIT)
        else:
            queue.delay(part, fate)
