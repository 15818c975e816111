"""Play every row of the load table against every peer found, in turn, and write RESULTS.md and results.json.

    python -m bench.run                          everything, three rounds
    python -m bench.run --rows durable,tls --rounds 5
    python -m bench.run --quick --out /tmp/try   see that all of it works; the figures mean nothing

Method: for each row every peer is started anew with an empty data folder and warmed up with a tenth of the
messages; then the peers take turns, round after round, one at work while the others idle; medians are
compared. A row that fails for a peer is reported as failed, never left out.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import importlib.util
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.amqp_load import Figures, Load, LoadError, measure
from bench.amqp_wire import Address, WireError
from bench.machine import fdatasync_ms, interpreter, machine
from bench.peers import PEERS, Peer, PeerError, found
from bench.report import render
from bench.rows import ROWS, Row

FOLDER = Path(__file__).parent
WARM_UP_PART = 10
SETTLE_S = 0.3  # Between two turns: what the last one left to do (acknowledgements, closes) gets done.
TROUBLE = (LoadError, WireError, PeerError, OSError)


def address_of(peer: Peer, load: Load) -> Address:
    return Address(peer.amqps_port if load.tls else peer.amqp_port, tls=load.tls)


def missing_client(row: Row) -> str:
    """Return why the client of a row cannot be run, or the empty string."""
    if row.load.client == "raw":
        return ""
    from bench.real_clients import MODULES

    module = MODULES[row.load.client]
    return "" if importlib.util.find_spec(module) else f"skipped: no module {module}"


def start_peer(stack: contextlib.ExitStack, kind: type[Peer], load: Load) -> Peer | str:
    """Start a peer and warm it up; return it, or why that failed."""
    warm_up = max(load.messages // WARM_UP_PART, load.batch_size)
    try:
        peer = stack.enter_context(kind(tls=load.tls))
        measure(dataclasses.replace(load, messages=warm_up), address_of(peer, load))
    except TROUBLE as error:
        return f"failed: {error}"
    return peer


def play_row(row: Row, kinds: Sequence[type[Peer]], rounds: int) -> dict[str, Any]:
    """Return for each peer its version and its figures of each round, or the reason for having none."""
    if reason := missing_client(row):
        return {kind.name: {"reason": reason} for kind in kinds}
    answers: dict[str, Any] = {}
    with contextlib.ExitStack() as stack:
        running: dict[str, Peer] = {}
        for kind in kinds:
            started = start_peer(stack, kind, row.load)
            if isinstance(started, str):
                answers[kind.name] = {"reason": started}
            else:
                running[kind.name] = started
                answers[kind.name] = {"version": started.version, "rounds": []}
        for _ in range(rounds):
            for name, peer in list(running.items()):
                time.sleep(SETTLE_S)
                try:
                    figures = measure(row.load, address_of(peer, row.load), pid=peer.pid)
                    answers[name]["rounds"].append(figures)
                except TROUBLE as error:
                    answers[name] = {"version": peer.version, "reason": f"failed: {error}"}
                    del running[name]
    return answers


def medians(rounds: list[Figures]) -> Figures:
    return {name: round(statistics.median(each[name] for each in rounds), 3) for name in rounds[0]}


def commit() -> str:
    """Return the short commit of this checkout, marked if the package's source has changes on top."""
    git = ["git", "-C", str(FOLDER)]
    done = subprocess.run([*git, "rev-parse", "--short", "HEAD"], capture_output=True, text=True)
    changed = subprocess.run([*git, "status", "--porcelain", "../src"], capture_output=True, text=True)
    return (done.stdout.strip() or "unknown") + ("+changes" if changed.stdout else "")


def summary(row: Row, answers: dict[str, Any]) -> str:
    """Return one line for the terminal."""
    parts = []
    for name, answer in answers.items():
        figures = answer.get("median", {})
        shown = ", ".join(f"{figure} {figures[figure]:,}" for figure in row.figures if figure in figures)
        parts.append(f"{name} {shown or answer['reason'].splitlines()[0]}")
    return f"{row.name:16} {' | '.join(parts)}"


def choose(names: str) -> list[Row]:
    wanted = names.split(",") if names else [row.name for row in ROWS]
    known = {row.name: row for row in ROWS}
    if unknown := [name for name in wanted if name not in known]:
        raise SystemExit(f"no such row: {', '.join(unknown)}; there are {', '.join(known)}")
    return [known[name] for name in wanted]


def measure_rows(options: argparse.Namespace, results: dict[str, Any], path: Path) -> None:
    """Measure the chosen rows and keep each in `path` as soon as it is there."""
    rounds = 1 if options.quick else options.rounds
    kinds = found(options.peers.split(","))
    results["machine"] = {**machine(), "fdatasync_ms": str(fdatasync_ms())}
    results["interpreter"] = interpreter()
    results["quick"] = options.quick
    for row in choose(options.rows):
        answers = play_row(row.quick() if options.quick else row, kinds, rounds)
        for answer in answers.values():
            if answer.get("rounds"):
                answer["median"] = medians(answer["rounds"])
        when = time.strftime("%Y-%m-%d %H:%M", time.gmtime())
        results["rows"][row.name] = {"measured": when, "commit": commit(), "peers": answers}
        path.write_text(json.dumps(results, indent=1) + "\n")
        print(summary(row, answers), flush=True)


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    purpose = (__doc__ or "").partition("\n")[0]
    parser = argparse.ArgumentParser(prog="python -m bench.run", description=purpose)
    parser.add_argument("--rows", default="", help="only these rows, separated by commas")
    parser.add_argument("--peers", default=",".join(PEERS), help="only these peers (default %(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="rounds of each row (default %(default)s)")
    parser.add_argument("--quick", action="store_true", help="a fraction of the messages and one round")
    parser.add_argument("--out", type=Path, default=FOLDER, help="folder of RESULTS.md and results.json")
    parser.add_argument("--render", action="store_true", help="only write RESULTS.md from results.json")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    options = parse(arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    path = options.out / "results.json"
    results: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {"rows": {}}
    if not options.render:
        measure_rows(options, results, path)
    (options.out / "RESULTS.md").write_text(render(results))
    rows = results["rows"].items()
    failed = [name for name, row in rows if "reason" in row["peers"].get("Pillarbox", {})]
    if failed:
        print(f"Pillarbox has no figures in: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
