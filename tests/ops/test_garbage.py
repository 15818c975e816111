"""When the collector runs: in a process of its own, because its settings are the process's."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import gc
from pillarbox.ops import garbage

class Loop:
    "Runs what it is told to run later when it is told to."
    def call_later(self, delay, callback, *arguments):
        self.next = lambda: callback(*arguments)

turns = 0
loop = Loop()
garbage.Collector(lambda: turns).start(loop)
collected = []
gc.callbacks.append(lambda phase, info: phase == "stop" and collected.append(info["generation"]))
kept = []

def make_old():
    "Objects enough for young ones to become old ones often."
    times = (garbage.YOUNG_TIMES + 2) * (garbage.OLD_TIMES + 1)
    kept.extend([[] for _ in range((garbage.YOUNG_OBJECTS + 1) * times)])
    kept.clear()

def full(looks, busy):
    "How often the old generation was looked at in so many seconds."
    global turns
    collected.clear()
    for _ in range(looks):
        turns += 1000 * busy
        loop.next()
    return collected.count(2)
"""


def run(program: str) -> None:
    subprocess.run([sys.executable, "-c", PROGRAM + program], check=True, timeout=60)


def test_old_objects_are_looked_at_when_nothing_has_gone_on_for_a_while() -> None:
    run("make_old(); assert full(3, busy=True) == 0; assert full(10, busy=False) == 1")


def test_busy_broker_looks_at_old_objects_rarely_and_not_never() -> None:
    run("make_old(); assert full(590, busy=True) == 0; assert full(20, busy=True) == 1")


def test_nothing_is_looked_at_where_little_has_grown_old() -> None:
    run("assert full(2000, busy=False) == 0")


def test_young_objects_alone_never_start_a_look_at_the_old_ones() -> None:
    run("make_old(); assert 2 not in collected and collected.count(1) > 10 and collected.count(0) > 10")


FREED = """
def resident():
    return int(open("/proc/self/statm").read().split()[1]) * 4096

def seen(busy_s):
    "What an idle broker has that was so busy and then let go of 60 MB, but for a little on top."
    before = resident()
    kept = [bytes(3000) for _ in range(20_000)]
    top = bytes(3000)
    del kept
    full(busy_s, busy=True)
    full(20, busy=False)
    return (resident() - before) / 1e6
"""


def test_memory_that_is_free_goes_back_when_nothing_goes_on() -> None:
    run(FREED + "assert seen(1) < 10")


def test_nothing_is_given_back_by_who_had_nothing_to_do() -> None:
    run(FREED + "import sys; seen(0); assert 'ctypes' not in sys.modules")
