"""What watching costs: 5,000 messages a second among ten thousand queues, watched by nobody or by everybody.

Everybody is: four pages of the web page (overview, queues, a queue, connections), `pillarbox monitor`, and a
scrape of the metrics, of every object by itself too; all every five seconds, as usual. Reported: latency, CPU
per million messages, the longest turn of the broker's loop, and how long a page of 500 queues takes.
"""

from __future__ import annotations

import contextlib
import statistics
import subprocess
import sys
import threading
import time
from base64 import b64encode
from collections.abc import Iterator
from http.client import HTTPConnection
from urllib.parse import quote

from bench.amqp_load import Load, measure
from bench.amqp_wire import Address, RawConnection
from bench.peers import HOST, Peer, Pillarbox
from bench.units import Instrumented, of_nothing

QUEUES = 10_000
RATE = 5_000
SECONDS = 30
CONTROL_S = 60
"""What the machine itself does to units, is looked at for so long: as it stands still now and then, some of a
loop that does nothing are long, too."""
PAGE = "/api/queues?page=1&page_size=500&sort=messages&sort_reverse=true"
SCRAPE_S = 5.0
ROUNDS = 5
LOGIN = {"authorization": "Basic " + b64encode(b"guest:guest").decode()}
SHOWN = (
    ("/api/overview?lengths_age=600&lengths_incr=5&msg_rates_age=600&msg_rates_incr=5", "/api/nodes"),
    ("/api/queues?page=1&page_size=100&sort=name",),
    ("/api/queues/%2F/load-0?lengths_age=600&lengths_incr=5", "/api/queues/%2F/load-0/explain"),
    ("/api/connections?page=1&page_size=100",),
)
"""The documents that pages of the web page follow."""


def _read(port: int, path: str) -> bytes:
    connection = HTTPConnection(HOST, port, timeout=60)
    connection.request("GET", path, headers=LOGIN)
    body = connection.getresponse().read()
    connection.close()
    return body


def _follow(port: int, documents: tuple[str, ...], stop: threading.Event) -> None:
    query = "&".join(f"document={quote(one, safe='')}" for one in documents)
    connection = HTTPConnection(HOST, port, timeout=60)
    connection.request("GET", f"/api/live?{query}", headers=LOGIN)
    response = connection.getresponse()
    while not stop.is_set() and response.readline():
        pass
    connection.close()


def _scrape(port: int, stop: threading.Event) -> None:
    while not stop.wait(SCRAPE_S):
        _read(port, "/metrics")
        _read(port, "/metrics/per-object")


@contextlib.contextmanager
def everybody(management_port: int, prometheus_port: int) -> Iterator[None]:
    """Pages, monitor and scrapes are on."""
    stop = threading.Event()
    people = [threading.Thread(target=_follow, args=(management_port, one, stop)) for one in SHOWN]
    people.append(threading.Thread(target=_scrape, args=(prometheus_port, stop)))
    command = [sys.executable, "-m", "pillarbox", "monitor", "--url", f"http://{HOST}:{management_port}"]
    monitor = subprocess.Popen(command, stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
    for one in people:
        one.start()
    try:
        yield
    finally:
        stop.set()
        monitor.terminate()
        monitor.wait()
        for one in people:
            one.join()


def _longest_tick_ms(port: int) -> float:
    for line in _read(port, "/metrics").decode().splitlines():
        if line.startswith("pillarbox_longest_tick_seconds "):
            return round(float(line.split()[1]) * 1000, 1)
    raise AssertionError("the broker does not say what its longest turn was")


def _prepared(peer: Pillarbox, part: float) -> None:
    """Declare the queues; what that took shall not hide what comes."""
    with contextlib.closing(RawConnection(Address(peer.amqp_port))) as connection:
        for number in range(int(QUEUES * part)):
            connection.declare_queue(f"other-{number}")
    peer.stop()
    peer.start()


def watched(kind: type[Peer], part: float) -> dict[str, float | str]:
    """See the module; `part` of the queues and of the time."""
    if kind is not Pillarbox:
        return {"reason": "has other ports"}
    figures: dict[str, float | str] = {}
    load = Load(messages=int(RATE * SECONDS * part), rate=RATE, prefetch=1000)
    shorter = Load(messages=load.messages // 2, rate=RATE, prefetch=1000)
    for who in ("nobody", "everybody"):
        with Pillarbox() as peer:
            _prepared(peer, part)
            ports = peer.management_port, peer.ports["prometheus"]
            with everybody(*ports) if who == "everybody" else contextlib.nullcontext():
                found = measure(load, Address(peer.amqp_port), pid=peer.pid)
                figures[f"{who}: p50 ms"] = round(found["latency_p50_ms"], 2)
                figures[f"{who}: p99 ms"] = round(found["latency_p99_ms"], 2)
                figures[f"{who}: cpu s per million"] = round(found["cpu_s_per_million"], 1)
                figures[f"{who}: longest tick ms"] = _longest_tick_ms(ports[1])
            if who == "nobody":
                took = []
                for _ in range(ROUNDS):
                    began = time.perf_counter()
                    _read(ports[0], PAGE)
                    took.append(time.perf_counter() - began)
                figures["page of 500 ms"] = round(statistics.median(took) * 1000, 1)
        with Instrumented() as peer:
            _prepared(peer, part)
            ports = peer.management_port, peer.ports["prometheus"]
            since = time.time()
            with everybody(*ports) if who == "everybody" else contextlib.nullcontext():
                measure(shorter, Address(peer.amqp_port), pid=peer.pid)
            units = [unit["cpu_ms"] for unit in peer.long_units(since)]
            figures[f"{who}: units over 2 ms of cpu"] = len(units)
            figures[f"{who}: longest unit cpu ms"] = max(units, default=0.0)
    units = of_nothing(CONTROL_S * part)
    figures["a loop that only counts: units over 2 ms of cpu"] = len(units)
    figures["a loop that only counts: longest unit cpu ms"] = max(units, default=0.0)
    return figures
