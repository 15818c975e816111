"""Play every row of the load table against every peer found, in turn, and write down what came out.

    python -m bench.run                          everything, three rounds
    python -m bench.run --rows durable,tls --rounds 5
    python -m bench.run --quick --out /tmp/try   see that all of it works; the figures mean nothing

Method: for each row every peer is started anew with an empty data folder and warmed up with a tenth of the
messages; then the peers take turns, round after round, one at work while the others idle; medians are
compared. A row that fails for a peer is reported as failed, never left out.

Writes results.json, RESULTS.md and the figures in README.md; with --out, the first two, there.
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

from bench.amqp_load import Figures, Load, LoadError, Unsupported, measure
from bench.amqp_wire import Address, WireError
from bench.machine import fdatasync_ms, interpreter, machine
from bench.peers import PEERS, Peer, PeerError, found
from bench.report import README, render, with_summary
from bench.rows import ROWS, Row

FOLDER = Path(__file__).parent
WARM_UP_PART = 10
TURN_S = 2.0  # A peer that is done sooner gets more messages: a blink cannot be measured.
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


def lengthen(load: Load, warm_up: Figures) -> Load:
    """Return the load with enough messages for TURN_S at the rate of the warm-up.

    A backlog and a paced load stay as they are: the first is about its size, the second lasts as long for
    all.
    """
    if load.backlog or load.rate:
        return load
    rate = warm_up.get("end_to_end_per_s", warm_up["publish_per_s"])
    return dataclasses.replace(load, messages=max(load.messages, int(rate * TURN_S / load.publishers)))


def start_peer(stack: contextlib.ExitStack, kind: type[Peer], load: Load, quick: bool) -> tuple[Peer, Load]:
    """Start a peer and warm it up; return it with the load that is to be measured."""
    peer = stack.enter_context(kind(tls=load.tls))
    warm_up = max(load.messages // WARM_UP_PART, load.batch_size)
    figures = measure(dataclasses.replace(load, messages=warm_up), address_of(peer, load))
    return peer, load if quick else lengthen(load, figures)


def play_row(row: Row, kinds: Sequence[type[Peer]], rounds: int, *, quick: bool) -> dict[str, Any]:
    """Return for each peer its version and its figures of each round, or the reason for having none."""
    if reason := missing_client(row):
        return {kind.name: {"reason": reason} for kind in kinds}
    answers: dict[str, Any] = {kind.name: {"version": "", "rounds": []} for kind in kinds}
    with contextlib.ExitStack() as stack:
        running: dict[str, tuple[Peer, Load]] = {}
        for kind in kinds:
            try:
                running[kind.name] = start_peer(stack, kind, row.load, quick)
            except Unsupported as error:
                answers[kind.name] = {"reason": f"skipped: {error}"}
            except TROUBLE as error:
                answers[kind.name] = {"reason": f"failed: {error}"}
        for _ in range(rounds):
            for name, (peer, load) in list(running.items()):
                time.sleep(SETTLE_S)
                try:
                    answers[name]["version"] = peer.version
                    answers[name]["rounds"].append(measure(load, address_of(peer, load), pid=peer.pid))
                except TROUBLE as error:
                    answers[name] = {"reason": f"failed: {error}; it printed: {peer.printed()[-500:]}"}
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
        answers = play_row(row.quick() if options.quick else row, kinds, rounds, quick=options.quick)
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
    parser.add_argument("--render", action="store_true", help="measure nothing: write the pages anew")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    options = parse(arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    path = options.out / "results.json"
    results: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {"rows": {}}
    if not options.render:
        measure_rows(options, results, path)
    (options.out / "RESULTS.md").write_text(render(results))
    if options.out == FOLDER:
        README.write_text(with_summary(README.read_text(), results))
    rows = results["rows"].items()
    failed = [name for name, row in rows if "reason" in row["peers"].get("Pillarbox", {})]
    if failed:
        print(f"Pillarbox has no figures in: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
