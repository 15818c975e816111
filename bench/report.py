"""RESULTS.md out of results.json: tables, ratios of medians, the worst row, method and caveats.

`render` is the whole page; `with_summary` puts some rows of it into README.md, where its markers are.
"""

from __future__ import annotations

import json
import re
import statistics
from pathlib import Path
from typing import Any, NamedTuple

from bench.rows import ROWS, Row

OURS, RIVAL = "Pillarbox", "RabbitMQ"
FOLDER = Path(__file__).parent
NONE = "-"
README = FOLDER.parent / "README.md"
SUMMARY = re.compile(r"(<!-- begin: [^\n]*bench\.run --render[^\n]* -->\n).*?(<!-- end -->)", re.DOTALL)
SUMMARY_ROWS = (
    "transient",
    "durable",
    "ack-each",
    "prefetch-1",
    "synchronous",
    "fanout-100",
    "queues-1000",
    "tls",
)
"""Rows for the README, besides the worst and the best: what batching flatters, and what it does not."""
SUMMARY_DELAY = ("latency-durable", "latency_p99_ms")
SUMMARY_SIZES = {
    ("idle", "start_s"): "start, seconds",
    ("idle", "rss_idle_mb"): "idle, MiB resident",
    ("embedded", "ready_ms"): "ready inside a test, ms",
    ("waiting", "messages"): "messages waiting on one queue",
    ("waiting", "rss_filled_mb"): "MiB resident with them",
    ("waiting", "start_with_backlog_s"): "start with them, seconds",
}
FIGURE_NAMES = {
    "end_to_end_per_s": "",
    "publish_per_s": "publishes",
    "fill_per_s": "fill",
    "drain_per_s": "drain",
    "latency_p50_ms": "p50",
    "latency_p99_ms": "p99",
    "latency_p999_ms": "p99.9",
}

METHOD = """\
## Method

- One machine, loopback. Every row starts each peer anew with an empty data folder and its default settings,
  warms it up with a tenth of the messages, then lets the peers take turns, round after round: one works while
  the others idle. A peer that would be done in less than two seconds gets more messages. The figure is the
  median of the rounds, the ratio that of the medians.
- Load comes from `bench/amqp_load.py`: frames encoded beforehand go out, a marker is counted in the bytes
  that come in. A row fails unless every message arrives. Bodies have 100 bytes unless the row says otherwise.
  Messages a second are end to end: from the first publish to the last arrival.
- Latency counts from the moment when a message was *due*, so a publisher that is made to wait pays for that.
- CPU is the user and system time of the broker's process (the Erlang virtual machine for RabbitMQ), all
  threads, per million published messages. Resident memory is the peak since that process started.
- Durability is equal where a row has confirms: RabbitMQ confirms a persistent message after it was synced to
  disk (seen in the disk's own count of flushes: one for each synchronous confirm), and so does Pillarbox with
  `durability = "fsync"`, its default. LavinMQ, where it is found, confirms without a sync before its 2.9.
- The row *quorum* compares a quorum queue on a single RabbitMQ node with what Pillarbox makes of
  `x-queue-type: quorum`: a durable queue, whose confirms wait for the same sync.
- In the rows of streams every reader gets every message; the figure counts what was published, and ends when
  the last reader has the last message. Pillarbox syncs a stream before it confirms, RabbitMQ leaves that to
  the operating system.

## Caveats

- The load processes run on the same cores as the broker. That weighs on every peer alike, but a
  single-threaded broker leaves them more room than one that spreads over all cores.
- Pillarbox is one process with one busy thread; RabbitMQ uses all cores. More cores help RabbitMQ more.
- Rates of a second or two on a shared machine vary by ten or twenty per cent between runs; `calls.json`
  (function calls per message, exact) is what guards against regressions.
- In client-bound rows the client is the bottleneck; read the CPU column, not the rate.
"""


FLOOR = """\
Where the disk, the memory or the calls of the system are the limit and not the broker: a loop that receives a
publish, appends it, syncs and answers; one that receives 1 MiB and sends it on; one that answers each
acknowledgement with a delivery. None of them parses, routes or keeps anything.
"""


class Line(NamedTuple):
    """One figure of one row, for all peers."""

    row: Row
    figure: str
    values: dict[str, float]

    @property
    def ratio(self) -> float | None:
        """How many times better than the rival, whichever way the figure counts."""
        ours, rival = self.values.get(OURS), self.values.get(RIVAL)
        if not ours or not rival:
            return None
        return rival / ours if self.figure.endswith("_ms") else ours / rival

    @property
    def title(self) -> str:
        name = FIGURE_NAMES[self.figure]
        return f"{self.row.title}: {name}" if name else self.row.title


def lines_of(results: dict[str, Any]) -> list[Line]:
    lines = []
    for row in ROWS:
        peers = results["rows"].get(row.name, {}).get("peers", {})
        for figure in row.figures:
            values = {name: answer["median"][figure] for name, answer in peers.items() if "median" in answer}
            lines.append(Line(row, figure, values))
    return [line for line in lines if line.row.name in results["rows"]]


def number(value: float | None) -> str:
    if value is None:
        return NONE
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def factor(value: float | None) -> str:
    return NONE if value is None else f"{value:.1f} x"


def table(heads: list[str], rows: list[list[str]]) -> str:
    rule = ["---"] + ["--:"] * (len(heads) - 1)
    return "\n".join("| " + " | ".join(cells) + " |" for cells in [heads, rule, *rows]) + "\n"


def cost(results: dict[str, Any], row: Row, peer: str, figure: str) -> str:
    median = results["rows"][row.name]["peers"].get(peer, {}).get("median", {})
    return number(median.get(figure))


def comparison(results: dict[str, Any], lines: list[Line], peers: dict[str, str]) -> str:
    heads = ["workload", *peers.values(), f"ratio to {RIVAL}"]
    heads += [f"CPU s per million: {name}" for name in peers] + [f"peak MiB: {name}" for name in peers]
    rows = []
    for line in lines:
        cells = [line.title, *(number(line.values.get(name)) for name in peers), factor(line.ratio)]
        cells += [cost(results, line.row, name, "cpu_s_per_million") for name in peers]
        cells += [cost(results, line.row, name, "rss_peak_mb") for name in peers]
        rows.append(cells)
    return table(heads, rows)


def peers_of(results: dict[str, Any]) -> dict[str, str]:
    """Return name → name and version of every peer with figures, ours first."""
    peers: dict[str, str] = {}
    for row in results["rows"].values():
        for name, answer in row["peers"].items():
            if "median" in answer:
                peers[name] = f"{name} {answer['version']}"
    return dict(sorted(peers.items(), key=lambda item: item[0] != OURS))


def verdict(lines: list[Line]) -> str:
    """Name the geometric mean and the worst row of the throughput lines."""
    rated = sorted((line for line in lines if line.ratio is not None), key=lambda line: line.ratio or 0.0)
    if not rated:
        return "Nothing to compare: one of the two sides has no figures.\n"
    mean = statistics.geometric_mean([line.ratio or 0.0 for line in rated])
    worst, best = rated[0], rated[-1]
    return (
        f"**Geometric mean of the throughput ratios: {factor(mean)} {RIVAL}.** "
        f"Worst row: **{worst.title}, {factor(worst.ratio)}**; best: {best.title}, {factor(best.ratio)}.\n"
    )


def failures(results: dict[str, Any]) -> str:
    found = [
        f"- {row}, {peer}: {answer['reason'].splitlines()[0]}\n"
        for row, entry in results["rows"].items()
        for peer, answer in entry["peers"].items()
        if "reason" in answer
    ]
    unplayed = [f"- {row.name}: not measured\n" for row in ROWS if row.name not in results["rows"]]
    return "## Without figures\n\n" + "".join(found + unplayed) if found or unplayed else ""


def backlog_memory(results: dict[str, Any], peers: dict[str, str]) -> str:
    row = results["rows"].get("backlog", {}).get("peers", {})
    values = [
        f"{peers[n]} {row[n]['median']['rss_backlog_mb']:,.0f} MiB"
        for n in peers
        if "median" in row.get(n, {})
    ]
    return f"Resident memory with the backlog waiting: {', '.join(values)}.\n" if values else ""


def setting(results: dict[str, Any]) -> str:
    machine, python = results.get("machine", {}), results.get("interpreter", {})
    rows = sorted({(row["measured"][:10], row["commit"]) for row in results["rows"].values()})
    facts = {"Machine": machine, "Interpreter of Pillarbox": python}
    lines = [f"- {name}: {', '.join(f'{k} {v}' for k, v in fact.items())}\n" for name, fact in facts.items()]
    lines += [f"- Measured: {', '.join(f'{day} at commit {commit}' for day, commit in rows)}\n"]
    return "".join(lines).replace("_", " ")


def saved(name: str) -> dict[str, Any]:
    """Return what another measurement left in this folder, or nothing."""
    path = FOLDER / name
    content: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    return content


def calls_section() -> str:
    gate = saved("calls.json")
    if not gate:
        return ""
    rows = [
        [name, number(kinds["python"]), number(kinds["builtin"])] for name, kinds in gate["calls"].items()
    ]
    heads = ["workload, in lock step", "Python functions", "built-in functions"]
    return f"\n## Function calls per message (Python {gate['python']})\n\n{table(heads, rows)}"


def floor_section(lines: list[Line], peers: dict[str, str]) -> str:
    """Return how near brokers come to loops that do nothing but what all must do (`bench.floor`)."""
    floors = saved("floor.json")
    rows = [
        [line.title, number(floors[line.row.name]), *(number(line.values.get(name)) for name in peers)]
        for line in lines
        if line.row.name in floors
    ]
    if not rows:
        return ""
    heads = ["workload", "bare loop", *peers.values()]
    return f"\n## What this machine allows (`python -m bench.floor`)\n\n{FLOOR}\n{table(heads, rows)}"


def scale_section() -> str:
    """Return the figures of `bench.scale`, one line each, peers side by side."""
    scale = saved("scale.json")
    names = list(dict.fromkeys(name for peers in scale.values() for name in peers))
    rows = []
    for measurement, peers in scale.items():
        for figure in dict.fromkeys(key for figures in peers.values() for key in figures):
            cells = [str(peers.get(name, {}).get(figure, NONE)) for name in names]
            rows.append([f"{measurement}: {figure.replace('_', ' ')}", *cells])
    return f"\n## Sizes (`python -m bench.scale`)\n\n{table(['figure', *names], rows)}" if rows else ""


def render(results: dict[str, Any]) -> str:
    """Return the text of RESULTS.md."""
    lines, peers = lines_of(results), peers_of(results)
    clients = [line for line in lines if line.row.client_bound]
    delays = [line for line in lines if line.figure.endswith("_ms")]
    rates = [line for line in lines if line not in clients and line not in delays]
    parts = ["# Pillarbox beside other brokers\n\nWritten by `make bench` (`python -m bench.run`).\n\n"]
    if results.get("quick"):
        parts.append("**A quick run: it shows that everything works; the figures mean nothing.**\n\n")
    parts += [verdict(rates), "\n", setting(results), "\n## Messages a second\n\n"]
    parts += [comparison(results, rates, peers), "\n", backlog_memory(results, peers)]
    parts += ["\n## Latency in milliseconds\n\n", comparison(results, delays, peers)]
    parts += [
        "\n## Real clients (client-bound): messages a second\n\n",
        comparison(results, clients, peers),
        "\n",
    ]
    parts += [
        floor_section(rates, peers),
        calls_section(),
        scale_section(),
        "\n",
        failures(results),
        "\n",
        METHOD,
    ]
    return "".join(parts)


def summary(results: dict[str, Any]) -> str:
    """Return what the README shows: verdict, some rows with the worst and the best, sizes; or why not."""
    if results.get("quick") or not results["rows"]:
        return "Not measured in full yet for this version.\n"
    lines, peers = lines_of(results), peers_of(results)
    rates = [line for line in lines if not line.row.client_bound and not line.figure.endswith("_ms")]
    rated = sorted((line for line in rates if line.ratio is not None), key=lambda line: line.ratio or 0.0)
    shown = [
        line
        for line in lines
        if (line in rates and (line.row.name in SUMMARY_ROWS or line in (*rated[:1], *rated[-1:])))
        or (line.row.name, line.figure) == SUMMARY_DELAY
    ]
    rows = [
        [
            f"{line.title}, ms" if line.figure.endswith("_ms") else line.title,
            *(number(line.values.get(name)) for name in peers),
            factor(line.ratio),
        ]
        for line in shown
    ]
    parts = [
        verdict(rates),
        "\n",
        table(["messages a second", *peers.values(), "ratio"], rows),
        _sizes(peers),
    ]
    missing = [row.name for row in ROWS if row.name not in results["rows"]]
    if missing:
        parts.append(f"\nRows without figures: {', '.join(missing)}.\n")
    return "".join(parts)


def _sizes(peers: dict[str, str]) -> str:
    scale = saved("scale.json")
    rows = []
    for (measurement, figure), title in SUMMARY_SIZES.items():
        values = [scale.get(measurement, {}).get(name, {}).get(figure) for name in peers]
        if any(isinstance(value, int | float) for value in values):
            rows.append([title, *(number(v) if isinstance(v, int | float) else NONE for v in values)])
    return f"\n{table(['size', *peers.values()], rows)}" if rows else ""


def with_summary(readme: str, results: dict[str, Any]) -> str:
    """Return the README with the summary between its markers."""
    text, count = SUMMARY.subn(lambda match: f"{match[1]}\n{summary(results)}\n{match[2]}", readme)
    assert count == 1, "README.md has lost the markers of its figures"
    return text
