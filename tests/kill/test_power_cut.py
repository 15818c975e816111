"""Every state that a power cut may leave, with the whole broker on top: what was confirmed is there.

The actors of the kill test run on a broker without sockets over files that remember every operation; what
the clients do and see is noted in the same log. Then every moment of the log is a power cut: the states
that it may leave are built, a fresh broker starts on each, everything is taken out by AMQP and compared with
the model as it was at that moment. A confirm that left before its sync would be found: at the moment after
it, a state without the unsynced write is built.

DESIGN 7 and 10; section "make crash" of the acceptance.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from copy import deepcopy

import pytest

from pillarbox.engine.schedulers import InlineScheduler
from pillarbox.testing.faults import Image, Medium, SimulatedFiles
from pillarbox.testing.journal import ShuffledScheduler

from . import topology
from .actors import Actor, Drain, Style
from .model import Event, Model
from .whole import Whole

ACTORS = 3
STYLES = (
    Style(1, 1, (20,), 10, 0.3, 0.0, False, 0.2),
    Style(20, 8, (20, 300), 5, 0.6, 0.1, True, 0.1),
    Style(60, 20, (20, 2000), 40, 0.2, 0.0, False, 0.02),
)


class Recorded:
    """A broker with actors on files that remember, and the model's events among the operations.

    `model` is what was promised before, where there was a before.
    """

    def __init__(
        self, seed: int, files: SimulatedFiles | None = None, model: Model | None = None, **options: object
    ) -> None:
        self.seed = seed
        self.chance = random.Random(seed)
        self.files = files or SimulatedFiles()
        self.begun = 0
        """The first operation at which a power cut is looked at."""
        self.numbers: Counter[int] = Counter()
        self._model = model or Model(topology.QUEUES, [topology.RATED])
        self._before = deepcopy(self._model)
        self.whole = Whole(self.files, ShuffledScheduler(self.chance), self.chance, **options)

    def emit(self, event: Event) -> None:
        self.files.note(event)
        self._model.apply(event)

    def declare(self) -> None:
        """Make the fixed queues, and know that they are on the disk."""
        one = Actor(0, 0, self.chance, self.emit, Style(1, 1, (20,), 1, 0.0, 0.0, False))
        self.whole.connect(one)
        self.whole.run(lambda: one.open)
        topology.declare(one)
        one.fence()
        self.whole.run(lambda: one.settled)
        self.numbers[0] = one.number
        self.begun = len(self.files.log)

    def adopt(self, numbers: Counter[int]) -> None:
        """Take everything out, compare it with the model, and go on with about a half."""
        self.numbers = numbers
        chance, whole = self.chance, self.whole
        drain = Drain(0, numbers[0], chance, self.emit, range(1, 1 + ACTORS))
        vhost = whole.core.vhosts["/"]
        for identity in self._model.queues:
            self.emit(("consume", identity, 1 << 40))
        drain.know(vhost.queues, vhost.exchanges)
        whole.connect(drain)
        whole.run(lambda: drain.done, [drain])
        errors = drain.errors + self._model.check(drain.state)
        assert not errors, errors[:10]
        self.emit(("adopt", drain.state))
        drain.settle(0.5, self._model.names)
        whole.run(lambda: drain.settled)
        whole.disconnect()
        numbers[0] = drain.number

    def load(self, turns: int) -> None:
        """Let actors do as they like; the disk is now behind and now ahead."""
        chance = self.chance
        actors = []
        for publisher in range(1, 1 + ACTORS):
            actor = Actor(publisher, self.numbers[publisher], chance, self.emit, chance.choice(STYLES))
            if publisher in self._model.publishers:
                actor.adopt(self._model.publishers[publisher].proven, self.numbers[publisher])
            actors.append(actor)
        self.whole.connect(*actors)
        for _ in range(turns):
            for actor in actors:
                for _ in range(chance.choice((0, 1, 3))):
                    actor.step()
            self.whole.turn()
            self.whole.disk(chance.choice((0, 0, 1, 2, 5, 20)))
        assert self.whole.core.failure is None
        for actor in actors:
            self.numbers[actor.publisher] = actor.number

    def cuts(
        self, *, every: int, mixtures: int = 2, copy: bool = False
    ) -> Iterator[tuple[int, Model, Image]]:
        """(operations done, what was promised by then, what the disk may hold) of power cuts.

        The model goes on with the next one, unless it is a `copy`.

        One of `every` file operations is looked at, and one of as many confirms, right after it left.
        """
        model = deepcopy(self._before)
        medium = Medium(self.files.start)
        chance = random.Random(self.seed)
        for done, operation in enumerate(self.files.log, 1):
            medium.apply(operation)
            telling = True
            if operation.kind == "note":
                model.apply(operation.note)
                telling = operation.note[0] == "confirm"
            if telling and done >= self.begun and chance.randrange(every) == 0:
                for image in medium.images(chance, mixtures):
                    yield done, deepcopy(model) if copy else model, image

    def last_cuts(self) -> Iterator[tuple[Model, Image]]:
        """A power cut when everything is over."""
        medium = Medium(self.files.start)
        for operation in self.files.log:
            medium.apply(operation)
        for image in medium.images(random.Random(self.seed), 5):
            yield self._model, image


def found_errors(image: Image, model: Model, **options: object) -> list[str]:
    """Start a fresh broker on what the disk holds, take everything out, and say what is wrong."""
    chance = random.Random(0)
    whole = Whole(SimulatedFiles(image), InlineScheduler(), chance, **options)
    drain = Drain(0, 1 << 20, chance, lambda event: None, range(1, 1 + ACTORS))
    vhost = whole.core.vhosts.get("/")
    if vhost is None:
        return ["the virtual host is gone"]
    drain.know(vhost.queues, vhost.exchanges)
    whole.connect(drain)
    whole.run(lambda: drain.done, [drain])
    assert whole.core.failure is None
    return drain.errors + model.check(drain.state)


def demand_kept(work: Recorded, every: int, **options: object) -> int:
    """Assert that every power cut leaves what was promised by then; return how many were tried."""
    seen = 0
    for done, model, image in work.cuts(every=every):
        errors = found_errors(image, model, **options)
        assert not errors, f"{len(errors)} errors after operation {done}: {errors[:10]}"
        seen += 1
    return seen


@pytest.mark.parametrize("seed", range(4))
def test_power_cut_at_any_moment_keeps_all_that_was_confirmed(seed: int) -> None:
    """fsync: confirmed messages, proven settlements, flags, definitions, order; and nothing else is there."""
    work = Recorded(seed)
    work.declare()
    work.load(80)
    assert demand_kept(work, every=10) > 50


@pytest.mark.parametrize("seed", [20, 21])
def test_power_cut_after_a_power_cut_keeps_what_the_restart_found(seed: int) -> None:
    """Work goes on after a crash, and the next one, during the restart or after it, takes nothing away."""
    work = Recorded(seed)
    work.declare()
    work.load(50)
    for generation in range(1, 4):
        cuts = list(work.cuts(every=30, copy=True))
        _, model, image = work.chance.choice(cuts[len(cuts) // 2 :])
        numbers = work.numbers
        work = Recorded(seed + 100 * generation, SimulatedFiles(image), model)
        work.adopt(numbers)
        work.load(30)
        assert demand_kept(work, every=20) > 10


def test_clean_stop_and_then_a_power_cut_bring_nothing_back() -> None:
    """What a stop has written is on the disk when it is over: also settlements that nobody confirms."""
    work = Recorded(30)
    work.declare()
    work.load(60)
    work.whole.stop()
    work.emit(("processed",))
    for model, image in work.last_cuts():
        assert not found_errors(image, model)


def test_confirms_that_leave_before_their_sync_are_noticed() -> None:
    """The test of the test: with durability "os" a power cut does lose what was confirmed."""
    work = Recorded(40, durability="os")
    work.declare()
    work.load(60)
    with pytest.raises(AssertionError, match="errors after operation"):
        demand_kept(work, every=3, durability="os")
