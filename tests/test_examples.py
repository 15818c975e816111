"""examples/rabbitmq/: every program runs as a process of its own against the broker, unchanged.

The broker is that of the client tests, so `--broker rabbitmq` shows that the same files run there.
"""

from __future__ import annotations

import ast
import os
import queue
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pika
import pytest

ROOT = Path(__file__).resolve().parent.parent
EXAMPLES = ROOT / "examples" / "rabbitmq"
WAIT_S = 30.0

sys.path.insert(0, str(ROOT / "tests" / "clients"))
from broker_target import Target, broker  # noqa: E402  (shared with the client tests)

__all__ = ["broker"]


class Program:
    """A running example whose output is read line by line."""

    def __init__(self, url: str, name: str, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(EXAMPLES / name), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=os.environ | {"AMQP_URL": url},
        )
        self.lines: queue.Queue[str] = queue.Queue()
        self.seen: list[str] = []
        self.reader = threading.Thread(target=self._read)
        self.reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as stdout:
            for line in stdout:
                self.lines.put(line.rstrip("\n"))

    def expect(self, *wanted: str) -> None:
        """Read exactly these lines, in this order."""
        for line in wanted:
            assert self.line() == line, self.seen

    def line(self) -> str:
        try:
            line = self.lines.get(timeout=WAIT_S)
        except queue.Empty:
            raise AssertionError(f"no further line within {WAIT_S:g} s after {self.seen}") from None
        self.seen.append(line)
        return line

    def rest(self) -> list[str]:
        """Wait for the end of the program; return the lines that were not read yet."""
        self.process.wait(WAIT_S)
        self.reader.join(WAIT_S)
        while not self.lines.empty():
            self.seen.append(self.lines.get())
        return self.seen

    def interrupt(self) -> None:
        """Press Ctrl-C; the program ends without a traceback."""
        self.process.send_signal(signal.SIGINT)
        assert self.process.wait(WAIT_S) == 0, self.rest()
        assert self.rest()[-1] == "stopped"

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        self.reader.join(WAIT_S)


Start = Callable[..., Program]


@pytest.fixture
def start(broker: Target) -> Iterator[Start]:
    """Return a starter of examples; what still runs at the end is killed."""
    programs: list[Program] = []

    def run(name: str, *arguments: str) -> Program:
        programs.append(Program(broker.url(), name, *arguments))
        return programs[-1]

    yield run
    for program in programs:
        program.kill()


@pytest.fixture
def finish(start: Start) -> Callable[..., list[str]]:
    """Return a runner of examples that end by themselves: it gives their lines."""

    def run(name: str, *arguments: str) -> list[str]:
        program = start(name, *arguments)
        lines = program.rest()
        assert program.process.returncode == 0, lines
        return lines

    return run


@pytest.fixture
def clean(broker: Target) -> Iterator[Callable[..., None]]:
    """Return a remover of queues and exchanges, for now and for the end of the test."""
    with pika.BlockingConnection(pika.URLParameters(broker.url())) as connection:
        channel = connection.channel()
        names: list[tuple[str, str]] = []

        def remove() -> None:
            for kind, name in names:
                (channel.queue_delete if kind == "queue" else channel.exchange_delete)(name)

        def register(*, queues: tuple[str, ...] = (), exchanges: tuple[str, ...] = ()) -> None:
            names.extend([("queue", name) for name in queues] + [("exchange", name) for name in exchanges])
            remove()

        yield register
        remove()


@pytest.mark.row("R20", "R63")
def test_hello_world(start: Start, finish: Callable[..., list[str]], clean: Callable[..., None]) -> None:
    """Send and receive, whoever comes first."""
    clean(queues=("hello",))
    assert finish("hello_send.py", "before anybody listens") == ["sent: before anybody listens"]
    receiver = start("hello_receive.py")
    receiver.expect("waiting for messages", "received: before anybody listens")
    assert finish("hello_send.py") == ["sent: Hello, world!"]
    receiver.expect("received: Hello, world!")
    receiver.interrupt()


@pytest.mark.row("R40", "R65", "R66", "R71")
def test_work_queue_shares_the_tasks(
    start: Start, finish: Callable[..., list[str]], clean: Callable[..., None]
) -> None:
    """Two workers, prefetch 1: the short tasks pass by the long one."""
    clean(queues=("tasks",))
    assert finish("new_task.py", "long", "one" + "." * 40) == [f"queued: long one{'.' * 40}"]
    busy = start("worker.py")
    busy.expect("waiting for tasks", f"working on: long one{'.' * 40}")
    free = start("worker.py")
    free.expect("waiting for tasks")
    for n in range(3):
        finish("new_task.py", f"short {n}")
    for n in range(3):
        free.expect(f"working on: short {n}", f"done: short {n}")
    busy.expect(f"done: long one{'.' * 40}")
    for worker in (busy, free):
        worker.interrupt()


@pytest.mark.row("R66")
def test_work_queue_gives_the_task_of_a_dead_worker_to_another(
    start: Start, finish: Callable[..., list[str]], clean: Callable[..., None]
) -> None:
    """Not acknowledged is not done."""
    clean(queues=("tasks",))
    finish("new_task.py", "fold" + "." * 100)
    first = start("worker.py")
    first.expect("waiting for tasks", f"working on: fold{'.' * 100}")
    second = start("worker.py")
    second.expect("waiting for tasks")
    first.kill()
    second.expect(f"working on (again): fold{'.' * 100}")


@pytest.mark.row("R22", "R41")
def test_publish_and_subscribe(
    start: Start, finish: Callable[..., list[str]], clean: Callable[..., None]
) -> None:
    """Every listener gets every line from when it listens."""
    clean(exchanges=("logs",))
    finish("emit_log.py", "nobody hears this")
    listeners = [start("receive_logs.py") for _ in range(2)]
    for listener in listeners:
        listener.expect("waiting for logs")
    assert finish("emit_log.py", "info:", "two", "hear", "this") == ["logged: info: two hear this"]
    for listener in listeners:
        listener.expect("log: info: two hear this")
        listener.interrupt()


@pytest.mark.row("R22")
def test_routing(start: Start, finish: Callable[..., list[str]], clean: Callable[..., None]) -> None:
    """A listener hears the severities that it asked for."""
    clean(exchanges=("severities",))
    everything, errors = start("receive_logs_direct.py"), start("receive_logs_direct.py", "error")
    everything.expect("waiting for info, warning, error")
    errors.expect("waiting for error")
    for severity in ("info", "error", "debug", "warning"):
        finish("emit_log_direct.py", severity, "the", "cellar")
    everything.expect("info: the cellar", "error: the cellar", "warning: the cellar")
    errors.expect("error: the cellar")
    for listener in (everything, errors):
        listener.interrupt()


@pytest.mark.row("R22")
def test_topics(start: Start, finish: Callable[..., list[str]], clean: Callable[..., None]) -> None:
    """A listener hears the topics that match its patterns, each line once."""
    clean(exchanges=("topics",))
    some, everything = (
        start("receive_logs_topic.py", "kernel.*", "*.critical"),
        start("receive_logs_topic.py"),
    )
    some.expect("waiting for kernel.*, *.critical")
    everything.expect("waiting for #")
    topics = ["office.info", "kernel.critical", "kernel.net.info", "door.critical"]
    for topic in topics:
        finish("emit_log_topic.py", topic, "x")
    some.expect("kernel.critical: x", "door.critical: x")
    everything.expect(*(f"{topic}: x" for topic in topics))


@pytest.mark.row("R70")
def test_rpc(start: Start, finish: Callable[..., list[str]], clean: Callable[..., None]) -> None:
    """Questions by queue, answers by direct reply-to."""
    clean(queues=("fibonacci",))
    server = start("rpc_server.py")
    server.expect("waiting for questions")
    assert finish("rpc_client.py", "10", "1", "30") == [
        "fibonacci(10) = 55",
        "fibonacci(1) = 1",
        "fibonacci(30) = 832040",
    ]
    server.expect("answered: fibonacci(10)", "answered: fibonacci(1)", "answered: fibonacci(30)")
    server.interrupt()


@pytest.mark.row("R61", "R42")
def test_publisher_confirms(finish: Callable[..., list[str]], clean: Callable[..., None]) -> None:
    """All three ways end with everything confirmed and counted."""
    clean(queues=("confirmed",))
    lines = finish("publisher_confirms.py", "300")
    assert [re.sub(r", [\d,]+ a second", "", line) for line in lines] == [
        f"{way}: 300 of 300 confirmed and waiting" for way in ("one by one", "in batches", "streaming")
    ]


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.name)
def test_example_says_what_it_is_for_and_how_to_run_it(path: Path) -> None:
    """Each has a docstring with its purpose, its command and where it finds the broker."""
    docstring = ast.get_docstring(ast.parse(path.read_text())) or ""
    assert f"    python examples/rabbitmq/{path.name}" in docstring
    assert "AMQP_URL" in docstring


def test_every_example_is_tested() -> None:
    """The programs of this folder are those that the tests above start."""
    started = set(re.findall(r'"(\w+\.py)"', Path(__file__).read_text()))
    assert {path.name for path in EXAMPLES.glob("*.py")} == started
