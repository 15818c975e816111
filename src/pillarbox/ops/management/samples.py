"""Statistics over time: the core's counters, sampled every few seconds, for rates and charts.

The sampler visits everything once an interval, in slices between which the broker does its work. It notes
only what has changed: a queue that nothing happens to costs a glance and no memory. Samples are rows of
integers in rings, which go with the counters that they are of (`Counters.samples`). How many a ring holds
depends on how many things are active, so that all rings together keep within a bound.

Not here: what is shown of it (`stats`). Time comes from the core's scheduler, so a manual clock governs it.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from pillarbox.broker.counters import (
    ChannelCounters,
    ChurnCounters,
    Counters,
    ExchangeCounters,
    QueueCounters,
    TrafficCounters,
)
from pillarbox.clock import monotonic_ns
from pillarbox.ops.management.explanation import Stalls

if TYPE_CHECKING:
    from pillarbox.broker.core import Core
    from pillarbox.broker.queue import Queue
    from pillarbox.broker.session import Session
    from pillarbox.broker.vhost import VHost

INTERVAL_MS = 5000
"""How often: as RabbitMQ does (`collect_statistics_interval`)."""

SLICE_NS = 250_000
"""How long the sampler works at a stretch: within turns in which messages move as well."""

STEP_ITEMS = 50

KEPT_MAX = 121
"""Samples of a thing: ten minutes of the usual interval."""
KEPT_MIN = 3
SAMPLES_BYTES_MAX = 32 << 20
"""For the rings of all things together. With 3,000 queues busy at once each still has its ten minutes."""

FRESH_ITEMS = 400
"""Up to so many queues, connections and channels totals are added up when somebody asks, which takes a
millisecond; above, they are those of the last sample."""


class Step(NamedTuple):
    """A ring of a series: at most one row in `every_ms`, and how many."""

    every_ms: int
    kept: int


RECENT = (Step(0, KEPT_MAX),)
LASTING = (Step(0, KEPT_MAX), Step(60_000, 61), Step(600_000, 49), Step(1_800_000, 49))
"""Of the broker and its virtual hosts: ten minutes, an hour, eight hours, a day, as RabbitMQ has them."""

LENGTHS = ("messages_ready", "messages_unacknowledged")
QUEUE = (*QueueCounters.NAMES, *LENGTHS)
EXCHANGE = ExchangeCounters.NAMES
CHANNEL = ChannelCounters.NAMES
TRAFFIC = TrafficCounters.NAMES
TOTALS = (*CHANNEL, *LENGTHS, *TRAFFIC)
"""What is added up over a virtual host."""
OVERVIEW = (*TOTALS, *ChurnCounters.NAMES)


class Series:
    """The samples of one thing: rows (time, value, ...), newest last, in one ring or several.

    A row holds until the next one: where nothing changes, nothing is noted.
    """

    __slots__ = ("_rings", "_steps", "names", "trimmed", "width")

    def __init__(self, names: tuple[str, ...], steps: tuple[Step, ...] = RECENT) -> None:
        self.names = names
        self.width = len(names) + 1
        self.trimmed = False
        """Older rows have been forgotten: before the first one the thing was not at 0."""
        self._steps = steps
        self._rings = tuple(array("q") for _ in steps)

    def __repr__(self) -> str:
        return f"<Series of {len(self.names)} rows={[len(ring) // self.width for ring in self._rings]}>"

    def append(self, now_ms: int, values: Sequence[int], kept_max: int = KEPT_MAX) -> None:
        """Note what it is now."""
        width = self.width
        for step, ring in zip(self._steps, self._rings, strict=True):
            if step.every_ms and ring and now_ms - ring[-width] < step.every_ms:
                break
            ring.append(now_ms)
            ring.extend(values)
            surplus = len(ring) - min(step.kept, kept_max) * width
            if surplus > 0:
                del ring[:surplus]
                self.trimmed = True

    @property
    def newest_ms(self) -> int:
        """When it was last seen to have changed."""
        return self._rings[0][-self.width] if self._rings[0] else 0

    @property
    def newest(self) -> Sequence[int]:
        """The values of the last row; () if there is none."""
        return self._rings[0][1 - self.width :] if self._rings[0] else ()

    def increase(self, name: str, since_ms: int, now_ms: int) -> int:
        """By how much a value has grown from one of the last samples to the next."""
        return self.value(name, now_ms) - self.value(name, since_ms)

    def value(self, name: str, when_ms: int) -> int:
        """What a value was at some time, as far as that is known."""
        return self.values(name, (when_ms,))[0]

    def values(self, name: str, times_ms: Sequence[int]) -> list[int]:
        """What a value was at each of these times, as far as that is known.

        Cost: 0.3 µs a time; the rings are taken apart once for all of them.
        """
        column = 1 + self.names.index(name)
        rings = [(ring[:: self.width], ring[column :: self.width]) for ring in self._rings if ring]
        unknown = rings[-1][1][0] if rings and self.trimmed else 0
        found = []
        for when_ms in times_ms:
            for moments, values in rings:
                if moments[0] <= when_ms:
                    found.append(values[bisect_right(moments, when_ms) - 1])
                    break
            else:
                found.append(unknown)
        return found


class Sampler:
    """Samples one core. `start` begins; a pass is made every `interval_ms`."""

    def __init__(self, core: Core, interval_ms: int = INTERVAL_MS) -> None:
        self._core = core
        self.stalls = Stalls()
        self.interval_ms = interval_ms
        self.last_ms = self.before_ms = 0
        """When the last complete pass began, and the one before it; 0: there was none."""
        self._begun_ms = 0
        self._pass: Iterator[None] | None = None
        self._kept_max = KEPT_MAX
        self._active_bytes = 0
        self._gauges: list[tuple[Counters, Callable[[], Sequence[int]]]] = []
        self.sources: list[Callable[[], Iterator[tuple[Counters, Sequence[int]]]]] = []
        """What else gives gauges with their values, in small steps: those that there are at the time."""

    def watch(self, gauges: Counters, read: Callable[[], Sequence[int]]) -> None:
        """Sample these as well; `read` gives their values, in the order of their names."""
        self._begin(gauges)
        self._gauges.append((gauges, read))

    @staticmethod
    def _begin(gauges: Counters) -> None:
        """They have not been at 0 before somebody looked."""
        gauges.samples = series = Series(gauges.NAMES)
        series.trimmed = True

    def start(self) -> None:
        """Begin to sample, now and every interval."""
        core = self._core
        core.scheduler.at(core.changes.now_ms, self)
        core.wake()

    def on_timer(self, now_ms: int) -> None:
        """Go on with a pass, or begin one; see `scheduler`."""
        if self._pass is None:
            self._pass = self._sample(now_ms)
            self._begun_ms = now_ms
        began_ns = monotonic_ns()
        for _ in self._pass:
            if monotonic_ns() - began_ns > SLICE_NS:
                self._core.scheduler.at(now_ms + 1, self)
                return
        self._pass = None
        self.stalls.forget_deleted()
        self.before_ms, self.last_ms = self.last_ms, self._begun_ms
        self._core.scheduler.at(max(self._begun_ms + self.interval_ms, now_ms + 1), self)

    def _sample(self, now_ms: int) -> Iterator[None]:
        """Visit everything, in steps."""
        core = self._core
        # The rings of all that was active in the last pass have to fit.
        share = SAMPLES_BYTES_MAX * KEPT_MAX // max(1, self._active_bytes * KEPT_MAX)
        self._kept_max = max(KEPT_MIN, min(KEPT_MAX, share))
        self._active_bytes = 0
        sessions = self._sessions()
        for gauges, read in self._gauges:
            self._note(gauges, gauges.NAMES, read(), now_ms)
            yield
        for source in self.sources:
            for gauges, values in source():
                if gauges.samples is None:
                    self._begin(gauges)
                self._note(gauges, gauges.NAMES, values, now_ms)
                yield
        # A virtual host that is removed meanwhile leaves what it has counted to the broker: one has it.
        overview = [0] * len(TOTALS)
        _add_past(overview, core.past_channels, core.past_traffic)
        hosts = [(vhost, vhost.past_channels, vhost.past_traffic) for vhost in core.vhosts.values()]
        for vhost in sessions.keys() - core.vhosts.values():
            yield from self._sample_clients(sessions[vhost], now_ms, overview)
        for vhost, channels, traffic in hosts:
            totals = [0] * len(TOTALS)
            yield from self._sample_queues(vhost, now_ms, totals)
            for number, exchange in enumerate(list(vhost.exchanges.values())):
                self._note(exchange.counters, EXCHANGE, _values(exchange.counters), now_ms)
                if number % STEP_ITEMS == 0:
                    yield
            self._note(vhost.default_exchange, EXCHANGE, _values(vhost.default_exchange), now_ms)
            _add_past(totals, channels, traffic)
            yield from self._sample_clients(sessions.get(vhost, ()), now_ms, totals)
            self._note(channels, TOTALS, _grown(channels.samples, totals), now_ms, LASTING)
            overview = list(map(int.__add__, overview, totals))
        overview += _values(core.churn)
        self._note(core.churn, OVERVIEW, _grown(core.churn.samples, overview), now_ms, LASTING)

    def _sample_queues(self, vhost: VHost, now_ms: int, totals: list[int]) -> Iterator[None]:
        since_ms = self.last_ms
        ready = unacked = 0
        for number, queue in enumerate(list(vhost.queues.values())):
            ready += queue.ready_count
            unacked += unacknowledged(queue)
            self.stalls.look(queue, now_ms)
            if queue.active_ms >= since_ms or queue.in_log:
                self._note(queue.counters, QUEUE, queue_values(queue), now_ms)
            if number % STEP_ITEMS == 0:
                yield
        totals[len(CHANNEL)] += ready
        totals[len(CHANNEL) + 1] += unacked

    def _sample_clients(self, sessions: Sequence[Session], now_ms: int, totals: list[int]) -> Iterator[None]:
        at = len(CHANNEL) + len(LENGTHS)
        for session in sessions:
            for channel in list(session.channels):
                values = _values(channel.counters)
                _add(totals, 0, values)
                self._note(channel.counters, CHANNEL, values, now_ms)
            if session.head is not None:
                values = _values(session.head.traffic)
                _add(totals, at, values)
                self._note(session.head.traffic, TRAFFIC, values, now_ms)
            yield

    def _note(
        self,
        counters: Counters,
        names: tuple[str, ...],
        values: Sequence[int],
        now_ms: int,
        steps: tuple[Step, ...] = RECENT,
    ) -> None:
        series: Series | None = counters.samples
        if series is None:
            if not any(values):
                return
            series = counters.samples = Series(names, steps)
        if list(series.newest) != list(values):
            series.append(now_ms, values, KEPT_MAX if steps is LASTING else self._kept_max)
            self._active_bytes += series.width * 8

    def _sessions(self) -> dict[VHost, list[Session]]:
        found: dict[VHost, list[Session]] = {}
        for session in self._core.sessions:
            found.setdefault(session.vhost, []).append(session)
        return found

    # --- totals --------------------------------------------------------------------------------------

    def totals_of_all(self) -> dict[str, int]:
        """What is added up over the broker, virtual hosts that are gone included, which `totals` has not."""
        vhosts = self._core.vhosts
        found = list(self.totals(list(vhosts.values())).values())
        _add_past(found, self._core.past_channels, self._core.past_traffic)
        for session in self._core.sessions:
            if vhosts.get(session.vhost.name) is not session.vhost:
                _add_client(found, session)
        return dict(zip(TOTALS, found, strict=True))

    def totals(self, vhosts: Sequence[VHost]) -> dict[str, int]:
        """What is added up over virtual hosts: now, or (if that is much to add) as of the last sample."""
        sessions = self._sessions()
        many = sum([len(vhost.queues) for vhost in vhosts])
        many += sum([1 + len(one.channels) for vhost in vhosts for one in sessions.get(vhost, ())])
        totals = [0] * len(TOTALS)
        for vhost in vhosts:
            if many > FRESH_ITEMS:
                series: Series | None = vhost.past_channels.samples
                _add(totals, 0, series.newest if series is not None else ())
                continue
            _add_past(totals, vhost.past_channels, vhost.past_traffic)
            at = len(CHANNEL)
            for queue in vhost.queues.values():
                totals[at] += queue.ready_count
                totals[at + 1] += unacknowledged(queue)
            for session in sessions.get(vhost, ()):
                _add_client(totals, session)
        return dict(zip(TOTALS, totals, strict=True))


def queue_values(queue: Queue) -> list[int]:
    """What is sampled of a queue, in the order of `QUEUE`."""
    return [*_values(queue.counters), queue.ready_count, unacknowledged(queue)]


def unacknowledged(queue: Queue) -> int:
    """Messages that are out; a stream, which keeps what it delivers, has none, as in RabbitMQ."""
    return 0 if queue.in_log else queue.unacked_count


def _values(counters: Any) -> list[int]:
    return [getattr(counters, name) for name in counters.NAMES]


def _grown(series: Series | None, totals: list[int]) -> list[int]:
    """The same with no counter lower than in the sample before: what a channel has counted that is closed
    after the past was read and before its turn, the next sample has."""
    if series is not None and series.newest:
        last = series.newest
        for position in range(len(totals)):
            if not len(CHANNEL) <= position < len(CHANNEL) + len(LENGTHS):
                totals[position] = max(totals[position], last[position])
    return totals


def _add_past(totals: list[int], channels: ChannelCounters, traffic: TrafficCounters) -> None:
    _add(totals, 0, _values(channels))
    _add(totals, len(CHANNEL) + len(LENGTHS), _values(traffic))


def _add_client(totals: list[int], session: Session) -> None:
    """What a connection and its channels have counted."""
    for channel in session.channels:
        _add(totals, 0, _values(channel.counters))
    if session.head is not None:
        _add(totals, len(CHANNEL) + len(LENGTHS), _values(session.head.traffic))


def _add(totals: list[int], at: int, values: Sequence[int]) -> None:
    for position, value in enumerate(values, at):
        totals[position] += value
