"""Raw-socket AMQP 0-9-1 load whose own cost is close to zero, so that the broker is what is measured.

Publishers send frames that were encoded beforehand; consumers count a marker at the end of each body in the
bytes that come in; neither decodes frames on the hot path. Publishers and consumers are processes that share
their counts with the measuring process. `measure` plays one `Load` against one broker and returns its
figures: rates, latency percentiles, CPU seconds of the broker per million messages, resident memory, and how
many messages arrived.

    python -m bench.amqp_load --port 5672 --pid PID --messages 500000 --prefetch 1000

Standard library only (the clients of `bench.real_clients` excepted). Works against any AMQP 0-9-1 broker.

Invariant: a load is over when every message that was routed to a consumed queue has been counted, or it
fails.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing as mp
import select
import socket
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import Any, Final

from bench.amqp_wire import (
    RECEIVE_SIZE,
    TX_COMMIT,
    TX_COMMIT_OK,
    Address,
    Confirms,
    RawConnection,
    WireError,
    ack,
    message,
    method,
    reject,
)
from bench.machine import cpu_s, rss_mb, rss_peak_mb

MARK: Final = b"\x01\xfeMARK\xfe\x01"  # Ends every body: seen whole, the body has arrived whole.
STAMP_SIZE: Final = 8  # When the message was due (CLOCK_MONOTONIC, nanoseconds), just before the mark.
EXCHANGE: Final = "load-fanout"
DEAD: Final = "load-dead"
READ_SIZE: Final = 1 << 20
POLL_S: Final = 0.05  # How soon an idle consumer settles what is left and notices the end.
STALLED_S: Final = 60.0  # No progress at all for this long fails the load.

Figures = dict[str, float]
context = mp.get_context("fork")


class LoadError(Exception):
    """A worker failed, or nothing moved any more; the broker did not do its part."""


class Unsupported(Exception):
    """The broker has nothing of the kind."""


def option(default: Any, text: str) -> Any:
    return field(default=default, metadata={"help": text})


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """One workload. Every field is an option of the command line as well."""

    messages: int = option(200_000, "messages of each publisher")
    size: int = option(100, "bytes of a body")
    publishers: int = option(1, "publishing connections")
    consumers: int = option(1, "consuming connections")
    queues: int = option(1, "queues; publisher and consumer i use queue i modulo this")
    persistent: bool = option(False, "delivery mode 2")
    confirm: int = option(0, "publishes outstanding at most; 0: no confirms")
    prefetch: int = option(0, "manual acknowledgement with this prefetch; 0: automatic")
    ack_each: bool = option(False, "one basic.ack a message instead of one for many")
    batch: int = option(50, "messages in one write of a publisher")
    keys: int = option(0, "go round this many routing keys, through a fanout exchange")
    fanout: int = option(0, "bind this many queues to a fanout exchange; nothing is consumed")
    spread: bool = option(False, "each publisher goes round all queues")
    backlog: bool = option(False, "publish all, then consume all")
    rate: int = option(0, "messages a second of each publisher, for latency")
    queue_type: str = option("", "x-queue-type of the queues, such as quorum")
    arguments: str = option("", "arguments of the queues, such as x-message-ttl=60000,x-max-priority=5")
    reader_offset: str = option("", "x-stream-offset of the consumers of a stream, such as first")
    priorities: int = option(0, "give messages the priorities 0 to this, in turn")
    delay_ms: int = option(0, "publish through an x-delayed-message exchange with this x-delay")
    reject: bool = option(False, "the consumers reject everything, and others get the dead letters")
    commit: bool = option(False, "publish in transactions, one for each write")
    tls: bool = option(False, "connect by TLS")
    trickle: int = option(0, "slow connections beside: each publishes and consumes one message a second")
    client: str = option("raw", "who speaks: raw, pika, aio-pika, celery")

    @property
    def queue_count(self) -> int:
        return self.fanout or self.queues

    @property
    def queue_arguments(self) -> str:
        letters = f"x-dead-letter-exchange=,x-dead-letter-routing-key={DEAD}"
        return ",".join(filter(None, [self.arguments, letters if self.reject else ""]))

    @property
    def consumer_count(self) -> int:
        return 0 if self.fanout else self.consumers

    @property
    def consume_arguments(self) -> str:
        return f"x-stream-offset={self.reader_offset}" if self.reader_offset else ""

    @property
    def batch_size(self) -> int:
        """Messages in one write: a whole round where there is one."""
        return self.keys or (self.queues if self.spread else self.batch)

    @property
    def per_publisher(self) -> int:
        return max(self.batch_size, self.messages - self.messages % self.batch_size)

    @property
    def total(self) -> int:
        return self.per_publisher * self.publishers

    @property
    def deliveries(self) -> int:
        """Messages that arrive: each once, or once for each reader of a stream."""
        readers = self.consumer_count if self.queue_type == "stream" else min(1, self.consumer_count)
        return self.total * readers


class Share:
    """What one worker tells the measuring process, in shared memory: no message passing while it works."""

    def __init__(self, latencies: int = 0) -> None:
        self.ready = context.RawValue("b", 0)
        self.count = context.RawValue("q", 0)  # Messages published and confirmed, or received.
        self.began = context.RawValue("d", 0.0)
        self.ended = context.RawValue("d", 0.0)  # When `count` last grew.
        self.latencies = context.RawArray("q", latencies)
        self.latency_count = context.RawValue("q", 0)
        self.start = context.Event()
        self.stop = context.Event()

    def begin(self) -> None:
        """Report ready, wait for the starting signal and note the time."""
        self.ready.value = 1
        self.start.wait()
        self.began.value = time.monotonic()

    def counted(self, count: int) -> None:
        self.count.value = count
        self.ended.value = time.monotonic()

    def stamp(self, latency_ns: int) -> None:
        self.latencies[self.latency_count.value] = latency_ns
        self.latency_count.value += 1


Worker = Callable[[Load, Address, int, Share], None]


def queue_name(number: int) -> str:
    return f"load-{number}"


def make_body(size: int) -> bytes:
    return b"x" * (size - len(MARK)) + MARK


def encode_batch(load: Load, worker: int, frame_max: int) -> bytes:
    """Return the frames of one write of publisher `worker`."""
    body = make_body(load.size)

    def encode(exchange: str, key: str, priority: int = 0) -> bytes:
        return message(
            exchange,
            key,
            body,
            persistent=load.persistent,
            frame_max=frame_max,
            priority=priority,
            delay_ms=load.delay_ms,
        )

    if load.keys:
        return b"".join(encode(EXCHANGE, f"key.{worker}.{number}") for number in range(load.keys))
    if load.spread:
        return b"".join(encode("", queue_name(number)) for number in range(load.queues))
    key = queue_name(worker % load.queues)
    if load.priorities:
        return b"".join(encode("", key, number % (load.priorities + 1)) for number in range(load.batch))
    return encode(EXCHANGE if load.fanout or load.delay_ms else "", key) * load.batch


def publish(load: Load, address: Address, worker: int, share: Share) -> None:
    """Publish as fast as the broker reads; the last publish was read when a passive declare is answered."""
    connection = RawConnection(address)
    batch = encode_batch(load, worker, connection.frame_max)
    size, total, send = load.batch_size, load.per_publisher, connection.socket.sendall
    share.begin()
    for _ in range(total // size):
        send(batch)
    connection.ready(queue_name(worker % load.queues))
    share.counted(total)
    connection.close()


def publish_confirmed(load: Load, address: Address, worker: int, share: Share) -> None:
    """Publish with at most `load.confirm` messages unconfirmed; count what is confirmed."""
    connection = RawConnection(address)
    connection.select_confirms()
    batch = memoryview(encode_batch(load, worker, connection.frame_max))
    size, total, window = load.batch_size, load.per_publisher, max(load.confirm, load.batch_size)
    confirms, sock = Confirms(), connection.socket
    sock.setblocking(False)
    position = sent = 0
    share.begin()
    while confirms.count < total:
        may_send = position > 0 or (sent < total and sent - confirms.count + size <= window)
        readable, writable, _ = select.select([sock], [sock] if may_send else [], [], STALLED_S)
        if not readable and not writable:
            raise LoadError(f"stalled: {sent} sent, {confirms.count} confirmed")
        if writable:
            position += sock.send(batch[position:])
            if position == len(batch):
                position, sent = 0, sent + size
        if readable:
            confirms.receive(receive(sock))
            share.count.value = confirms.count
    share.counted(confirms.count)
    connection.close()


def publish_transacted(load: Load, address: Address, worker: int, share: Share) -> None:
    """Publish a batch, commit it, wait for the answer."""
    connection = RawConnection(address)
    connection.select_transactions()
    batch = encode_batch(load, worker, connection.frame_max) + method(TX_COMMIT)
    share.begin()
    for number in range(load.per_publisher // load.batch_size):
        connection.socket.sendall(batch)
        connection.expect(TX_COMMIT_OK)
        share.counted((number + 1) * load.batch_size)
    connection.close()


def publish_paced(load: Load, address: Address, worker: int, share: Share) -> None:
    """Send `load.rate` messages a second; each carries the time when it was *due*.

    So a broker that makes the publisher wait pays for that, too, and not only for the messages that it has
    read.
    """
    connection = RawConnection(address)
    key, frame_max, interval_ns = queue_name(worker % load.queues), connection.frame_max, 1e9 / load.rate
    padding = b"x" * (load.size - STAMP_SIZE - len(MARK))
    send, total = connection.socket.sendall, load.per_publisher
    share.begin()
    first_ns = time.monotonic_ns()
    for number in range(total):
        due_ns = first_ns + int(number * interval_ns)
        early_ns = due_ns - time.monotonic_ns()
        if early_ns > 0:
            time.sleep(early_ns / 1e9)
        body = padding + struct.pack(">q", due_ns) + MARK
        send(message("", key, body, persistent=load.persistent, frame_max=frame_max))
    connection.ready(key)
    share.counted(total)
    connection.close()


def receive(sock: socket.socket) -> bytes:
    data = sock.recv(RECEIVE_SIZE)
    if not data:
        raise LoadError("connection closed by the broker")
    return data


def acknowledgements(load: Load, acked: int, count: int) -> bytes:
    """Return what settles the deliveries acked+1..count."""
    if load.ack_each:
        return b"".join([ack(tag, multiple=False) for tag in range(acked + 1, count + 1)])
    return ack(count, multiple=True)


def consume(load: Load, address: Address, worker: int, share: Share) -> None:
    """Receive what is published, or its dead letters where others reject it."""
    queue = DEAD if load.reject else queue_name(worker % load.queues)
    consume_from(queue, load, address, share, lambda acked, count: acknowledgements(load, acked, count))


def reject_all(load: Load, address: Address, worker: int, share: Share) -> None:
    """Reject what is published, many at once."""
    queue = queue_name(worker % load.queues)
    consume_from(queue, load, address, share, lambda acked, count: reject(count))


def consume_from(
    queue: str, load: Load, address: Address, share: Share, settle: Callable[[int, int], bytes]
) -> None:
    """Count marks until told to stop; settle after a quarter of the prefetch, or when nothing comes."""
    connection = RawConnection(address)
    connection.consume(queue, prefetch=load.prefetch, arguments=load.consume_arguments)
    # What is read stands behind the last bytes of the read before it, where a mark may have begun.
    sock, keep = connection.socket, len(MARK) - 1
    buffer = bytearray(keep + READ_SIZE)
    space = memoryview(buffer)[keep:]
    sock.settimeout(POLL_S)
    settles, settle_at = bool(load.prefetch), 1 if load.ack_each else max(1, load.prefetch // 4)
    count, acked = connection.received.count(MARK), 0
    tail = connection.received[-keep:]
    buffer[keep - len(tail) : keep] = tail
    share.begin()
    if count:
        share.counted(count)  # What waited came in one read with consume-ok.
    while not share.stop.is_set():
        try:
            size = sock.recv_into(space)
        except TimeoutError:
            due = settles and count > acked
        else:
            if not size:
                raise LoadError("connection closed by the broker")
            arrived = buffer.count(MARK, 0, keep + size)
            buffer[:keep] = buffer[size : size + keep]
            if arrived:
                count += arrived
                share.counted(count)
            due = settles and count - acked >= settle_at
        if due:
            sock.sendall(settle(acked, count))
            acked = count
    if settles and count > acked:
        sock.sendall(settle(acked, count))
    connection.close()


def consume_timed(load: Load, address: Address, worker: int, share: Share) -> None:
    """Note for each message how long after it was due it arrived; acknowledge each."""
    connection = RawConnection(address)
    connection.consume(queue_name(worker % load.queues), prefetch=load.prefetch)
    sock, tail, count = connection.socket, connection.received, 0
    sock.settimeout(POLL_S)
    share.begin()
    while not share.stop.is_set():
        try:
            tail += receive(sock)
        except TimeoutError:
            continue
        now_ns = time.monotonic_ns()
        while (found := tail.find(MARK)) >= 0:
            share.stamp(now_ns - struct.unpack_from(">q", tail, found - STAMP_SIZE)[0])
            tail = tail[found + len(MARK) :]
            count += 1
            if load.prefetch:
                sock.sendall(ack(count, multiple=False))
        share.counted(count)
    connection.close()


def trickle(load: Load, address: Address, worker: int, share: Share) -> None:
    """Hold `load.trickle` connections; each publishes to and consumes from its own queue once a second."""
    connections = [RawConnection(address) for _ in range(load.trickle)]
    padding = b"x" * (load.size - STAMP_SIZE - len(MARK))
    for number, each in enumerate(connections):
        each.declare_queue(f"trickle-{number}", durable=False)
        each.consume(f"trickle-{number}", prefetch=0)
    by_descriptor = {each.socket.fileno(): each.socket for each in connections}
    poll = select.epoll()
    for descriptor in by_descriptor:
        poll.register(descriptor, select.EPOLLIN)
    share.begin()
    sent = received = 0
    first, interval = time.monotonic(), 1.0 / load.trickle
    while not share.stop.is_set() or received < sent:
        now = time.monotonic()
        if not share.stop.is_set() and now >= first + sent * interval:
            number = sent % load.trickle
            body = padding + struct.pack(">q", time.monotonic_ns()) + MARK
            data = message("", f"trickle-{number}", body, persistent=False, frame_max=4096)
            connections[number].socket.sendall(data)
            sent += 1
            continue
        for descriptor, _ in poll.poll(max(0.0, first + sent * interval - now)):
            data = receive(by_descriptor[descriptor])
            found = data.find(MARK)  # A hundred bytes in one second: they come in one piece.
            if found >= 0:
                received += 1
                if share.latency_count.value < len(share.latencies):
                    share.stamp(time.monotonic_ns() - struct.unpack_from(">q", data, found - STAMP_SIZE)[0])
    share.counted(received)
    for number, each in enumerate(connections):
        each.delete_queue(f"trickle-{number}")
        each.close()


def workers_of(load: Load) -> tuple[Worker, Worker]:
    """Return the publishing and the consuming worker of a load."""
    if load.client != "raw":
        from bench.real_clients import CLIENTS  # Needs packages that the raw load does without.

        return CLIENTS[load.client]
    if load.rate:
        return publish_paced, consume_timed
    if load.commit:
        return publish_transacted, consume
    return (publish_confirmed if load.confirm else publish), consume


class Team:
    """The worker processes of one load and their shares."""

    def __init__(self, load: Load, address: Address) -> None:
        self.load, self.address = load, address
        self.processes: list[mp.process.BaseProcess] = []
        self.publishers: list[Share] = []
        self.consumers: list[Share] = []
        self.tricklers: list[Share] = []
        self.rejecters: list[Share] = []

    def add(self, worker: Worker, shares: list[Share], latencies: int = 0) -> None:
        share = Share(latencies)
        arguments = (self.load, self.address, len(shares), share)
        process = context.Process(target=worker, args=arguments, daemon=True)
        process.start()
        shares.append(share)
        self.processes.append(process)

    def await_true(self, condition: Callable[[], bool], progress: Callable[[], int]) -> None:
        """Wait for `condition`; fail when a worker fails or `progress` does not change for STALLED_S."""
        moved_at, last = time.monotonic(), progress()
        while not condition():
            time.sleep(0.002)
            if any(process.exitcode for process in self.processes):
                raise LoadError("a worker failed; its traceback is above")
            if (now := progress()) != last:
                moved_at, last = time.monotonic(), now
            if time.monotonic() - moved_at > STALLED_S:
                raise LoadError(f"nothing moved for {STALLED_S:g} s; {last} messages so far")

    def await_ready(self, shares: list[Share]) -> None:
        self.await_true(
            lambda: all(each.ready.value for each in shares), lambda: sum(s.ready.value for s in shares)
        )

    def await_count(self, shares: list[Share], total: int) -> None:
        self.await_true(lambda: count(shares) >= total, lambda: count(shares))

    def finish(self) -> None:
        """Tell the workers to stop and wait until they have settled and closed."""
        for share in self.consumers + self.tricklers + self.rejecters:
            share.stop.set()
        for process in self.processes:
            process.join(STALLED_S)
        if any(process.exitcode != 0 for process in self.processes):
            raise LoadError("a worker failed at its end; its traceback is above")

    def abandon(self) -> None:
        for process in self.processes:
            if process.is_alive():
                process.kill()


def count(shares: list[Share]) -> int:
    return sum(int(share.count.value) for share in shares)


def start(shares: list[Share]) -> None:
    for share in shares:
        share.start.set()


def elapsed_s(shares: list[Share]) -> float:
    """Return the time from the first start to the last progress."""
    return float(max(share.ended.value for share in shares) - min(share.began.value for share in shares))


def percentiles_ms(shares: list[Share]) -> Figures:
    """Return the latency percentiles over the messages of all shares."""
    values = sorted(ns for share in shares for ns in share.latencies[: share.latency_count.value])
    names = {"latency_p50_ms": 0.5, "latency_p99_ms": 0.99, "latency_p999_ms": 0.999}
    return (
        {name: round(values[int(len(values) * part)] / 1e6, 3) for name, part in names.items()}
        if values
        else {}
    )


def set_up(load: Load, control: RawConnection) -> None:
    """Make the load's queues and bindings anew."""
    tear_down(load, control)
    for number in range(load.queue_count):
        control.declare_queue(queue_name(number), queue_type=load.queue_type, arguments=load.queue_arguments)
    if load.reject:
        control.declare_queue(DEAD)
    if load.fanout or load.keys:
        control.declare_fanout(EXCHANGE)
        for number in range(load.queue_count):
            control.bind(queue_name(number), EXCHANGE)
    if load.delay_ms:
        set_up_delays(load, control)


def set_up_delays(load: Load, control: RawConnection) -> None:
    try:
        control.declare_delayed(EXCHANGE)
    except WireError as error:
        raise Unsupported(f"no x-delayed-message exchanges ({error})") from None
    for number in range(load.queue_count):
        control.bind(queue_name(number), EXCHANGE, queue_name(number))


def tear_down(load: Load, control: RawConnection) -> None:
    control.delete_exchange(EXCHANGE)
    control.delete_queue(DEAD)
    for number in range(load.queue_count):
        control.delete_queue(queue_name(number))


def play_together(load: Load, team: Team, control: RawConnection, pid: int) -> Figures:
    """Publish and consume at the same time."""
    publisher, consumer = workers_of(load)
    consumed = load.consumer_count > 0
    for _ in range(load.consumer_count):
        team.add(consumer, team.consumers, load.total if load.rate else 0)
    for _ in range(load.publishers):
        team.add(publisher, team.publishers)
    if load.trickle:
        team.add(trickle, team.tricklers, 1_000_000)
    for _ in range(load.consumer_count if load.reject else 0):
        team.add(reject_all, team.rejecters)
    everyone = team.consumers + team.publishers + team.tricklers + team.rejecters
    team.await_ready(everyone)
    cpu_before = cpu_s(pid) if pid else 0.0
    start(everyone)
    team.await_count(team.publishers, load.total)
    team.await_count(team.consumers, load.deliveries)
    team.finish()
    figures = {"publish_per_s": load.total / elapsed_s(team.publishers)}
    if consumed:
        figures["consume_per_s"] = load.deliveries / elapsed_s(team.consumers)
        figures["end_to_end_per_s"] = load.total / elapsed_s(team.publishers + team.consumers)
    if pid:
        figures["cpu_s_per_million"] = (cpu_s(pid) - cpu_before) / load.total * 1e6
    latencies = percentiles_ms(team.consumers)
    slow = {f"trickle_{name}": value for name, value in percentiles_ms(team.tricklers).items()}
    return {**figures, **latencies, **slow}


def play_backlog(load: Load, team: Team, control: RawConnection, pid: int) -> Figures:
    """Publish everything, note memory, then consume everything."""
    publisher, consumer = workers_of(load)
    for _ in range(load.publishers):
        team.add(publisher, team.publishers)
    team.await_ready(team.publishers)
    cpu_before = cpu_s(pid) if pid else 0.0
    start(team.publishers)
    team.await_count(team.publishers, load.total)
    names = [queue_name(number) for number in range(load.queues)]
    team.await_true(
        lambda: sum(map(control.ready, names)) >= load.total, lambda: sum(map(control.ready, names))
    )
    filled = {"rss_backlog_mb": rss_mb(pid)} if pid else {}
    began = time.monotonic()
    for _ in range(load.consumer_count):
        team.add(consumer, team.consumers)
    start(team.consumers)
    team.await_count(team.consumers, load.total)
    drained_s = max(share.ended.value for share in team.consumers) - began
    team.finish()
    cpu = {"cpu_s_per_million": (cpu_s(pid) - cpu_before) / load.total * 1e6} if pid else {}
    rates = {"fill_per_s": load.total / elapsed_s(team.publishers), "drain_per_s": load.total / drained_s}
    return {**rates, **filled, **cpu}


def measure(load: Load, address: Address, *, pid: int = 0) -> Figures:
    """Play `load` against the broker at `address`; return its figures, those of process `pid` included.

    Raises LoadError when not everything arrives, WireError when the broker refuses something, Unsupported
    when it knows no exchange that delays.
    """
    control = RawConnection(address)
    set_up(load, control)
    team = Team(load, address)
    try:
        play = play_backlog if load.backlog else play_together
        figures = play(load, team, control, pid)
    finally:
        team.abandon()
    figures["published"], figures["received"] = float(count(team.publishers)), float(count(team.consumers))
    if figures["received"] != load.deliveries:
        raise LoadError(f"{load.deliveries} messages expected, {figures['received']:.0f} arrived")
    if pid:
        figures["rss_mb"], figures["rss_peak_mb"] = rss_mb(pid), rss_peak_mb(pid)
    tear_down(load, control)
    control.close()
    return {name: round(value, 3 if name.endswith("_ms") else 1) for name, value in figures.items()}


def parse(arguments: list[str] | None = None) -> tuple[Load, Address, int]:
    parser = argparse.ArgumentParser(
        prog="python -m bench.amqp_load", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=5672)
    parser.add_argument("--pid", type=int, default=0, help="the broker's process, for CPU time and memory")
    for each in fields(Load):
        name, text = f"--{each.name.replace('_', '-')}", f"{each.metadata['help']} (default {each.default!r})"
        if isinstance(each.default, bool):
            parser.add_argument(name, action="store_true", help=text)
        else:
            parser.add_argument(name, type=type(each.default), default=each.default, help=text)
    given = vars(parser.parse_args(arguments))
    host, port, pid = given.pop("host"), given.pop("port"), given.pop("pid")
    load = Load(**given)
    return load, Address(port, host, tls=load.tls), pid


def main() -> None:
    load, address, pid = parse()
    print(json.dumps(measure(load, address, pid=pid)))


if __name__ == "__main__":
    main()
