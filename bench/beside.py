"""Loads played on several brokers in turn, in interleaved rounds, and the page that says what was seen.

What MQTT's and STOMP's benchmarks share, and in part Kafka's. Not here: the loads (`mqtt_load`,
`stomp_load`), who the peers are.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, NamedTuple, Protocol, TypeVar

FIGURES = ("publish_per_s", "consume_per_s", "cpu_s_per_million", "rss_peak_mb")
Figures = dict[str, float]
Results = dict[str, dict[str, Figures]]
"""Row → peer → median of each figure."""


class Row(NamedTuple):
    """One load."""

    title: str
    load: Any
    without: str = ""
    """Whose names begin so cannot do it."""


class Peer(NamedTuple):
    """A running broker."""

    name: str
    port: int
    pid: int


class Named(Protocol):
    @property
    def name(self) -> str: ...


P = TypeVar("P", bound=Named)
F = TypeVar("F")


def take_turns(peers: Sequence[P], rounds: int, play: Callable[[P], F]) -> dict[str, list[F]]:
    """Let the peers play one after the other, so many times; return what each has shown, by its name.

    The order turns round each time: who has played may have something left to do, which holds up the next.
    """
    seen: dict[str, list[F]] = {peer.name: [] for peer in peers}
    for number in range(rounds):
        for peer in peers if number % 2 == 0 else reversed(peers):
            seen[peer.name].append(play(peer))
    return seen


def _play(measure: Callable[[Any, int, int], Figures], load: Any, peer: Peer) -> Figures:
    return measure(load, peer.port, peer.pid)


def compare(
    rows: Iterable[Row], running: Sequence[Peer], measure: Callable[[Any, int, int], Figures], rounds: int
) -> Results:
    """Play every row on each peer in turn, so many times; return the medians."""
    results: Results = {}
    for row in rows:
        able = [peer for peer in running if not row.without or not peer.name.startswith(row.without)]
        seen = take_turns(able, rounds, partial(_play, measure, row.load))
        results[row.title] = {
            name: {figure: statistics.median(one[figure] for one in found) for figure in FIGURES}
            for name, found in seen.items()
        }
        print(row.title, results[row.title], flush=True)
    return results


def render(results: Results, rate: str = "consume_per_s") -> str:
    """The table. `rate` is the figure that is compared."""
    names = list(next(iter(results.values())))
    ours, others = names[0], names[1:]
    heads = ["load", *(f"{name}: messages/s" for name in names), *(f"ratio to {name}" for name in others)]
    heads += [f"CPU s per million: {name}" for name in names] + [f"peak MiB: {name}" for name in names]
    lines = [f"| {' | '.join(heads)} |", "|" + " --- |" + " --: |" * (len(heads) - 1)]
    for title, found in results.items():

        def shown(figure: str, form: str, found: dict[str, Figures] = found) -> list[str]:
            return [format(found[name][figure], form) if name in found else "-" for name in names]

        best = found[ours][rate]
        ratios = [f"{best / found[name][rate]:.1f} x" if name in found else "-" for name in others]
        cells = [title, *shown(rate, ",.0f"), *ratios]
        cells += [*shown("cpu_s_per_million", ".1f"), *shown("rss_peak_mb", ".0f")]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def setting(about: dict[str, str]) -> str:
    """The machine in a line."""
    return "Machine: " + "; ".join(f"{name} {value}" for name, value in about.items()) + ".\n"
