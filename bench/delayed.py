"""A million delayed messages: published, through a restart, and fired; part of `bench.scale`.

Every message is published by itself with an `x-delay` of its own, chosen so that all are due in one stretch
of time that begins when publishing and the restart ought to be over. What has to hold, or the run fails:
every message comes once, none before it is due, and none before one that was due earlier, as far as the
publisher can tell: a broker counts from when it accepted a message, which is between sending and confirm.
"""

from __future__ import annotations

import random
import re
import select
import struct
import time
from array import array
from collections import deque

from bench.amqp_load import STALLED_S, LoadError, receive
from bench.amqp_wire import Address, Confirms, RawConnection, ack, message
from bench.machine import reset_rss_peak, rss_mb, rss_peak_mb
from bench.peers import Peer

EXCHANGE = "scale-later"
QUEUE = "scale-due"
SEED = 28
BODY_SIZE = 100
BATCH = 100
WINDOW = 500
"""Few, since a message is counted late by the time that it waits at the publisher's own socket."""
PREFETCH = 5_000
BEGIN_S = 180
"""Publishing and a restart have this time, at full size, before the first message is due."""
SPREAD_S = 100
"""And then all are due within this time."""
BEGIN_MIN_S = 5
DISORDER_MAX_S = 0.1
"""By so much, beyond the longest confirm, the order may differ from what the publisher expects."""
MARK = b"#delay#\n"
NUMBER = re.compile(rb"(.{8})#delay#\n", re.DOTALL)


def declare(connection: RawConnection) -> None:
    connection.declare_delayed(EXCHANGE)
    connection.declare_queue(QUEUE)
    connection.bind(QUEUE, EXCHANGE, "key")


class Template:
    """The frames of one delayed message, with places for its delay and its number."""

    def __init__(self, frame_max: int) -> None:
        body = bytes(BODY_SIZE - 8 - len(MARK)) + bytes(8) + MARK
        one = message(EXCHANGE, "key", body, persistent=True, frame_max=frame_max, delay_ms=1)
        self.frames = bytearray(one)
        self.delay_at = one.index(b"x-delayI") + len(b"x-delayI")
        self.number_at = len(self.frames) - 1 - len(MARK) - 8

    def batch(self, first: int, delays_ms: list[int]) -> memoryview:
        frames, size = self.frames * len(delays_ms), len(self.frames)
        for place, delay_ms in enumerate(delays_ms):
            struct.pack_into(">i", frames, place * size + self.delay_at, delay_ms)
            struct.pack_into(">Q", frames, place * size + self.number_at, first + place)
        return memoryview(frames)


def publish(
    connection: RawConnection, total: int, begin_s: float, spread_s: float
) -> tuple[array[float], float]:
    """Publish with confirms; return when each is due, if accepted when sent, and the longest confirm."""
    chance = random.Random(SEED)
    connection.select_confirms()
    sock, confirms, template = connection.socket, Confirms(), Template(connection.frame_max)
    sock.setblocking(False)
    due = array("d")
    waiting: deque[tuple[int, float]] = deque()
    began, longest = time.time(), 0.0
    rest = memoryview(b"")
    while confirms.count < total:
        if not rest and len(due) < total and len(due) - confirms.count + BATCH <= WINDOW:
            now = time.time()
            until = began + begin_s - now
            delays = [max(1, int((until + chance.random() * spread_s) * 1000)) for _ in range(BATCH)]
            rest = template.batch(len(due), delays)
            due.extend(now + delay / 1000 for delay in delays)
            waiting.append((len(due), now))
        readable, writable, _ = select.select([sock], [sock] if rest else [], [], STALLED_S)
        if not readable and not writable:
            raise LoadError(f"stalled: {len(due)} sent, {confirms.count} confirmed")
        if writable:
            rest = rest[sock.send(rest) :]
        if readable:
            confirms.receive(receive(sock))
            while waiting and waiting[0][0] <= confirms.count:
                longest = max(longest, time.time() - waiting.popleft()[1])
    sock.setblocking(True)
    return due, longest


def await_all(connection: RawConnection, due: array[float], skew_s: float) -> tuple[list[float], float]:
    """Consume them all; return how late each came, and how far at worst one came before an earlier one."""
    connection.consume(QUEUE, prefetch=PREFETCH)
    sock, tail = connection.socket, connection.received
    seen = bytearray(len(due))
    late: list[float] = []
    latest = worst = 0.0
    acked = 0
    sock.settimeout(max(STALLED_S, min(due) - time.time() + STALLED_S))
    while len(late) < len(due):
        numbers = NUMBER.findall(tail)
        now = time.time()
        for raw in numbers:
            number = int.from_bytes(raw, "big")
            if seen[number]:
                raise LoadError(f"message {number} came twice")
            seen[number] = 1
            one = due[number]
            late.append(now - one)
            latest = max(latest, one)
            worst = max(worst, latest - one)
        if numbers:
            tail = tail[tail.rindex(MARK) + len(MARK) :]
        if len(late) - acked >= PREFETCH // 4 or len(late) == len(due):
            sock.sendall(ack(len(late), multiple=True))
            acked = len(late)
        if len(late) < len(due):
            tail += receive(sock)
    if min(late) < 0:
        raise LoadError(f"a message came {-min(late) * 1000:.0f} ms before it was due")
    if worst > skew_s + DISORDER_MAX_S:
        raise LoadError(f"a message came before one that was due {worst * 1000:.0f} ms earlier")
    return late, worst


def delayed(kind: type[Peer], part: float) -> dict[str, float | str]:
    """A million delayed messages published one by one: memory, restart, order, lateness."""
    total = max(int(1_000_000 * part) // BATCH, 2) * BATCH
    begin_s, spread_s = max(BEGIN_MIN_S, BEGIN_S * part), max(BEGIN_MIN_S, SPREAD_S * part)
    with kind() as peer:
        publisher = RawConnection(Address(peer.amqp_port))
        declare(publisher)
        rss_before, began = rss_mb(peer.pid), time.time()
        due, skew_s = publish(publisher, total, begin_s, spread_s)
        published_s = time.time() - began
        publisher.close()
        rss_filled, rss_peak_filling = rss_mb(peer.pid), rss_peak_mb(peer.pid)
        stopping = time.monotonic()
        peer.stop()
        starting = time.monotonic()
        peer.start()
        started = time.monotonic()
        rss_started = rss_mb(peer.pid)
        reset_rss_peak(peer.pid)
        consumer = RawConnection(Address(peer.amqp_port))
        spare_s = begin_s - (time.time() - began)
        if spare_s < 0:
            raise LoadError(
                f"messages were due {-spare_s:.0f} s before there was a consumer: publishing is slow"
            )
        late, worst = await_all(consumer, due, skew_s)
        consumer.close()
        late.sort()
        return {
            "messages": total,
            "publish_per_s": round(total / published_s),
            "rss_before_mb": rss_before,
            "rss_filled_mb": rss_filled,
            "rss_peak_filling_mb": rss_peak_filling,
            "stop_s": round(starting - stopping, 2),
            "start_s": round(started - starting, 2),
            "rss_after_start_mb": rss_started,
            "s_from_start_to_first_due": round(spare_s, 1),
            "due_per_s": round(total / spread_s),
            "rss_peak_firing_mb": rss_peak_mb(peer.pid),
            "early_max_ms": round(max(0.0, -late[0]) * 1000, 1),
            "late_p50_ms": round(late[len(late) // 2] * 1000, 1),
            "late_p99_ms": round(late[len(late) * 99 // 100] * 1000, 1),
            "late_max_ms": round(late[-1] * 1000, 1),
            "out_of_order_by_publisher_ms": round(worst * 1000, 1),
            "longest_confirm_ms": round(skew_s * 1000, 1),
        }
