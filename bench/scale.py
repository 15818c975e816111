"""Sizes: ten million waiting messages, a million delayed, ten thousand queues, a thousand connections, start.

    python -m bench.scale                             everything, Pillarbox only; writes scale.json
    python -m bench.scale --only waiting --part 0.01  a hundredth of the size, to see that it works
    python -m bench.scale --peers pillarbox,rabbitmq --only queues

Each measurement starts a broker of its own with an empty data folder. What has to hold, holds or the run
fails: every waiting message comes out, in the order in which it was confirmed, also after a restart; every
queue is still there after a restart; every connection can publish and consume.
"""

from __future__ import annotations

import argparse
import array
import json
import os
import re
import select
import statistics
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.amqp_load import STALLED_S, Load, LoadError, measure, receive
from bench.amqp_wire import Address, Confirms, RawConnection, ack, message
from bench.delayed import delayed
from bench.machine import cpu_s, reset_rss_peak, rss_mb, rss_peak_mb
from bench.peers import PEERS, WITH_BYTECODE, Peer, Pillarbox, found
from bench.watched import watched

Figures = dict[str, float | str]
QUEUE = "scale"
BODY_SIZE = 100
BATCH = 500
WINDOW = 20_000
PREFETCH = 5_000
NUMBER = re.compile(rb"(.{8})#scale#\n", re.DOTALL)  # A message's number and the end of its body.
MARK = b"#scale#\n"
IDLE_S = 1.0
LONGEST_TICK = re.compile(r"longest tick ([\d.]+) ms")

EMBEDDED = """\
import time
began = time.perf_counter()
from pillarbox import Broker
imported = time.perf_counter()
with Broker() as broker:
    ready, cpu = time.perf_counter(), time.process_time()
again = time.perf_counter()
with Broker() as broker:
    print(imported - began, ready - began, time.perf_counter() - again, cpu)
"""
EMBEDDED_RUNS = 20


def connect(peer: Peer) -> RawConnection:
    return RawConnection(Address(peer.amqp_port))


class Numbered:
    """The frames of one write of persistent messages; their bodies end with a number and a mark."""

    def __init__(self, frame_max: int) -> None:
        body = bytes(BODY_SIZE - 8 - len(MARK)) + bytes(8) + MARK
        one = message("", QUEUE, body, persistent=True, frame_max=frame_max)
        self.frames = bytearray(one * BATCH)
        first = len(one) - 1 - len(MARK) - 8
        self.positions = range(first, len(self.frames), len(one))

    def renumber(self, start: int) -> memoryview:
        pack_into, frames = struct.Struct(">Q").pack_into, self.frames
        for number, position in enumerate(self.positions, start):
            pack_into(frames, position, number)
        return memoryview(frames)


def fill(connection: RawConnection, total: int) -> float:
    """Publish `total` numbered messages with confirms; return the seconds until the last was confirmed."""
    connection.select_confirms()
    sock, confirms, batch = connection.socket, Confirms(), Numbered(connection.frame_max)
    sock.setblocking(False)
    began, sent = time.monotonic(), 0
    rest = memoryview(b"")
    while confirms.count < total:
        if not rest and sent < total and sent - confirms.count + BATCH <= WINDOW:
            rest, sent = batch.renumber(sent), sent + BATCH
        readable, writable, _ = select.select([sock], [sock] if rest else [], [], STALLED_S)
        if not readable and not writable:
            raise LoadError(f"stalled: {sent} sent, {confirms.count} confirmed")
        if writable:
            rest = rest[sock.send(rest) :]
        if readable:
            confirms.receive(receive(sock))
    sock.setblocking(True)
    return time.monotonic() - began


def drain(connection: RawConnection, first: int, total: int) -> float:
    """Consume the messages first..first+total-1; fail unless they come in this order; return the seconds."""
    connection.consume(QUEUE, prefetch=PREFETCH)
    sock, tail = connection.socket, connection.received
    sock.settimeout(STALLED_S)
    began, count, acked = time.monotonic(), 0, 0
    while count < total:
        numbers = NUMBER.findall(tail)
        if numbers:
            expected = array.array("Q", range(first + count, first + count + len(numbers)))
            expected.byteswap()
            if b"".join(numbers) != expected.tobytes():
                raise LoadError(f"out of order after message {first + count}")
            count += len(numbers)
            tail = tail[tail.rindex(MARK) + len(MARK) :]
        if count - acked >= PREFETCH // 4 or count == total:
            sock.sendall(ack(count, multiple=True))
            acked = count
        if count < total:
            tail += receive(sock)
    return time.monotonic() - began


def waiting(kind: type[Peer], part: float) -> Figures:
    """Ten million waiting messages: fill, memory, restart, drain in order."""
    total = max(int(10_000_000 * part) // BATCH, 2) * BATCH
    with kind() as peer:
        control = connect(peer)
        control.declare_queue(QUEUE)
        control.close()
        publisher = connect(peer)
        filled_s = fill(publisher, total)
        publisher.close()
        rss_filled = rss_mb(peer.pid)
        rss_peak_filling = rss_peak_mb(peer.pid)
        began = time.monotonic()
        peer.stop()
        stopped_s = time.monotonic() - began
        began = time.monotonic()
        peer.start()
        started_s = time.monotonic() - began
        rss_started = rss_mb(peer.pid)
        reset_rss_peak(peer.pid)
        consumer = connect(peer)
        assert consumer.ready(QUEUE) == total, "not all messages are there after the restart"
        drained_s = drain(consumer, 0, total)
        consumer.close()
        return {
            "messages": total,
            "fill_per_s": round(total / filled_s),
            "rss_filled_mb": rss_filled,
            "rss_peak_filling_mb": rss_peak_filling,
            "stop_s": round(stopped_s, 2),
            "start_with_backlog_s": round(started_s, 2),
            "rss_after_start_mb": rss_started,
            "drain_per_s": round(total / drained_s),
            "rss_peak_draining_mb": rss_peak_mb(peer.pid),
        }


def queues(kind: type[Peer], part: float) -> Figures:
    """Ten thousand durable queues: time to declare, memory, restart."""
    total = max(int(10_000 * part), 10)
    names = [f"scale-{number}" for number in range(total)]
    with kind() as peer:
        control = connect(peer)
        rss_before, began = rss_mb(peer.pid), time.monotonic()
        for name in names:
            control.declare_queue(name)
        declared_s = time.monotonic() - began
        control.close()
        rss_after = rss_mb(peer.pid)
        peer.stop()
        began = time.monotonic()
        peer.start()
        started_s = time.monotonic() - began
        control = connect(peer)
        assert all(
            control.ready(name) == 0 for name in names
        )  # A missing queue closes the channel: WireError.
        control.close()
        return {
            "queues": total,
            "declare_s": round(declared_s, 2),
            "declare_per_s": round(total / declared_s),
            "rss_before_mb": rss_before,
            "rss_after_mb": rss_after,
            "kib_per_queue": round((rss_after - rss_before) * 1024 / total, 1),
            "restart_s": round(started_s, 2),
        }


def connections(kind: type[Peer], part: float) -> Figures:
    """A thousand connections, one queue, one publisher and one consumer each."""
    total = max(int(1_000 * part), 10)
    with kind() as peer:
        rss_before, began = rss_mb(peer.pid), time.monotonic()
        opened = [connect(peer) for _ in range(total)]
        opened_s = time.monotonic() - began
        rss_opened, cpu_before = rss_mb(peer.pid), cpu_s(peer.pid)
        time.sleep(IDLE_S)
        idle_cpu = (cpu_s(peer.pid) - cpu_before) / IDLE_S
        for number, each in enumerate(opened):
            each.declare_queue(f"scale-{number}", durable=False)
            each.consume(f"scale-{number}", prefetch=0)
        began = time.monotonic()
        for number, each in enumerate(opened):
            frames = message("", f"scale-{number}", MARK, persistent=False, frame_max=each.frame_max)
            each.socket.sendall(frames)
        for each in opened:
            while MARK not in each.received:
                each.received += receive(each.socket)
        exchanged_s = time.monotonic() - began
        for each in opened:
            each.close()
        return {
            "connections": total,
            "open_per_s": round(total / opened_s),
            "rss_before_mb": rss_before,
            "rss_open_mb": rss_opened,
            "kib_per_connection": round((rss_opened - rss_before) * 1024 / total, 1),
            "idle_cpu_percent": round(idle_cpu * 100, 1),
            "one_message_each_s": round(exchanged_s, 3),
        }


def idle(kind: type[Peer], part: float) -> Figures:
    """Start time (process spawned to ready, median of five), resident memory and processor time when idle."""
    starts = []
    for _ in range(max(int(5 * part), 1)):
        began = time.monotonic()
        with kind() as peer:
            starts.append(time.monotonic() - began)
            time.sleep(IDLE_S)
            cpu_before = cpu_s(peer.pid)
            time.sleep(IDLE_S)
            used = (cpu_s(peer.pid) - cpu_before) / IDLE_S
            rss = rss_mb(peer.pid)
    return {
        "start_s": round(statistics.median(starts), 3),
        "rss_idle_mb": rss,
        "idle_cpu_percent": round(used * 100, 1),
    }


def embedded(kind: type[Peer], part: float) -> Figures:
    """A broker in memory in a fresh process, as the first test of a run has it: medians of twenty processes.

    import_ms: the import alone; ready_ms: from before it until connections are accepted; ready_again_ms:
    a second broker in the same process; cpu_ms: what the process had used when the first was ready, the start
    of the interpreter included.
    """
    if kind is not Pillarbox:
        return {"reason": "not embeddable"}
    command, environment = [sys.executable, "-c", EMBEDDED], os.environ | WITH_BYTECODE
    runs = []
    for _ in range(1 + max(int(EMBEDDED_RUNS * part), 1)):
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        runs.append([float(seconds) * 1000 for seconds in done.stdout.split()])
    names = ("import_ms", "ready_ms", "ready_again_ms", "cpu_ms")
    # The first run is the one that compiles.
    medians = [round(statistics.median(column), 1) for column in zip(*runs[1:], strict=True)]
    return dict(zip(names, medians, strict=True))


def ticks(kind: type[Peer], part: float) -> Figures:
    """The longest tick of the event loop under mixed load: publishing, consuming, slow clients, declaring."""
    if kind is not Pillarbox:
        return {"reason": "has no event loop to look at"}
    messages = max(int(300_000 * part), 2_000)
    mixed = [
        Load(messages=messages, persistent=True, confirm=1000, prefetch=1000, trickle=100),
        Load(messages=messages, publishers=2, consumers=2, queues=2, prefetch=100),
        Load(messages=messages // 10, queues=1000, spread=True, consumers=0, persistent=True, confirm=2000),
        Load(messages=max(messages // 1000, 10), size=1 << 20, batch=1, prefetch=10),
        Load(messages=messages, backlog=True, persistent=True, prefetch=1000),
    ]
    with kind() as peer:
        for load in mixed:
            measure(load, Address(peer.amqp_port))
        peer.stop()
        told = LONGEST_TICK.findall(peer.printed())
    if not told:
        return {"reason": "the broker did not tell its longest tick"}
    return {"longest_tick_ms": float(told[-1])}


MEASUREMENTS: dict[str, Callable[[type[Peer], float], Figures]] = {
    "idle": idle,
    "embedded": embedded,
    "connections": connections,
    "queues": queues,
    "ticks": ticks,
    "waiting": waiting,
    "delayed": delayed,
    "watched": watched,
}


def main() -> int:
    purpose = (__doc__ or "").partition("\n")[0]
    parser = argparse.ArgumentParser(prog="python -m bench.scale", description=purpose)
    parser.add_argument("--only", default=",".join(MEASUREMENTS), help="only these (default %(default)s)")
    parser.add_argument("--peers", default="pillarbox", help=f"of {', '.join(PEERS)} (default %(default)s)")
    parser.add_argument("--part", type=float, default=1.0, help="fraction of the full size, for trying out")
    parser.add_argument("--out", type=Path, help="JSON file (default bench/scale.json at full size)")
    options = parser.parse_args()
    path = options.out or (Path(__file__).with_name("scale.json") if options.part == 1.0 else None)
    results: dict[str, Any] = json.loads(path.read_text()) if path and path.exists() else {}
    for name in options.only.split(","):
        for kind in found(options.peers.split(",")):
            figures = MEASUREMENTS[name](kind, options.part)
            results.setdefault(name, {})[kind.name] = figures
            print(f"{name:12} {kind.name}: {json.dumps(figures)}", flush=True)
            if path:
                path.write_text(json.dumps(results, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
