"""Clients that are not written in Python: a program plays scenarios by name, and is kept for all of them.

What it is told and what it answers are lines. Told is a scenario, the broker's addresses without and with a
login, and the ending of this run's names, with tabs between. It answers with JSON: an array is a line of the
transcript; "restart" asks for a restart of the broker, and is told when that is done; "end" is the last.
"""

from __future__ import annotations

import atexit
import json
import queue
import subprocess
import threading
from collections.abc import Callable, Sequence

from tests.compare_kafka.case import Case

LINE_TIMEOUT_S = 40.0
"""Between two lines of an answer; programs give up before that."""


class Program:
    """`command` returns what to start, and is asked when the first scenario is played."""

    def __init__(self, command: Callable[[], Sequence[str]]) -> None:
        self._command = command
        self._process: subprocess.Popen[str] | None = None
        self._lines: queue.Queue[str] = queue.Queue()

    def play(self, case: Case, scenario: str) -> None:
        """Have a scenario played and its lines added to the transcript."""
        self._tell(scenario, case.bootstrap, case.sasl_bootstrap, case.name(""))
        while (line := self._line(scenario)) != "end":
            if line == "restart":
                case.broker.restart()
                self._tell("restarted")
            else:
                case.saw(*line)

    def _tell(self, *words: str) -> None:
        if self._process is None:
            self._start()
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write("\t".join(words) + "\n")
        self._process.stdin.flush()

    def _line(self, scenario: str) -> list[str] | str:
        try:
            line = self._lines.get(timeout=LINE_TIMEOUT_S)
        except queue.Empty:
            line = ""
        if not line:
            assert self._process is not None
            self._process.kill()
            self._process = None
            raise TimeoutError(f"{scenario}: the program has ended, or said nothing for {LINE_TIMEOUT_S:g} s")
        found: list[str] | str = json.loads(line)
        return found

    def _start(self) -> None:
        process = subprocess.Popen(
            self._command(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        atexit.register(process.kill)
        lines: queue.Queue[str] = queue.Queue()

        def read() -> None:
            assert process.stdout is not None
            for line in process.stdout:
                lines.put(line)
            lines.put("")

        threading.Thread(target=read, daemon=True).start()
        self._process, self._lines = process, lines
