"""Share consumers of Kafka's Java client, driven step by step in one virtual machine for all scenarios."""

from __future__ import annotations

import atexit
import functools
import select
import subprocess
import time
from base64 import b64decode, b64encode
from pathlib import Path
from typing import Any

from bench import kafka_peer
from tests.compare_kafka.case import Case
from tests.compare_kafka.scenarios.java_tools import run

HARNESS = Path(__file__).resolve().parent.parent / "java" / "ShareConsumers.java"
ANSWER_TIMEOUT_S = 60.0
COME_S = 20.0
"""How long records that have to come may take."""
QUIET_MS = 700
"""How long nothing has to come, where nothing is to be."""

PROMPT = {
    "reconnect.backoff.ms": "10",
    "reconnect.backoff.max.ms": "100",
    "retry.backoff.ms": "20",
    "retry.backoff.max.ms": "100",
    "fetch.max.wait.ms": "100",
}

Seen = list[list[Any]]
"""Records: offset, delivery count, value."""


@functools.cache
def machine() -> subprocess.Popen[str]:
    """Return the virtual machine, which ends with this process."""
    quiet = "-Dorg.slf4j.simpleLogger.defaultLogLevel=off"
    command = ["java", *kafka_peer.SMALL_JVM, quiet, "-cp", kafka_peer.class_path(), str(HARNESS)]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    atexit.register(process.kill)
    return process


def told(*parts: str) -> str:
    """Give a command; return its answer."""
    process = machine()
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(",".join(b64encode(part.encode()).decode() for part in parts) + "\n")
    process.stdin.flush()
    if not select.select([process.stdout], [], [], ANSWER_TIMEOUT_S)[0]:
        process.kill()
        machine.cache_clear()
        raise TimeoutError(f"{' '.join(parts)}: not within {ANSWER_TIMEOUT_S:g} s")
    return b64decode(process.stdout.readline()).decode()


class ShareConsumer:
    """One of them."""

    def __init__(self, case: Case, group: str, topic: str, *settings: str) -> None:
        self._case = case
        self._name = case.name(f"consumer-{id(self)}")
        config = {"bootstrap.servers": case.bootstrap, "group.id": group, **PROMPT}
        words = [f"{key}={value}" for key, value in config.items()]
        self._tell("open", topic, *words, *settings)

    def _tell(self, command: str, *parts: str) -> str:
        return self._case.shorten(told(command, self._name, *parts))

    def poll(self, wait_ms: int = QUIET_MS) -> Seen:
        """What comes with one poll, or the client's error."""
        text = self._tell("poll", str(wait_ms))
        if text.startswith("!"):
            return [[text]]
        rows = [line.split("\t") for line in text.splitlines()]
        return [[int(offset), int(count), value] for _, offset, count, value in rows]

    def poll_some(self) -> Seen:
        """The same, when something has come."""
        deadline = time.monotonic() + COME_S
        while time.monotonic() < deadline:
            found = self.poll(200)
            if found:
                return found
        return []

    def drain(self, count: int) -> Seen:
        """Poll until so many have come; those of earlier polls are accepted thereby."""
        found: Seen = []
        deadline = time.monotonic() + COME_S
        while len(found) < count and time.monotonic() < deadline:
            found += self.poll(200)
        return found

    def ack(self, kind: str, *offsets: int) -> str:
        """Answer records of the last poll; return what the client says against it."""
        return "\n".join(filter(None, (self._tell("ack", str(offset), kind) for offset in offsets)))

    def commit(self) -> list[str]:
        return self._tell("commit").splitlines()

    def lock_ms(self) -> str:
        return self._tell("lock")

    def close(self) -> None:
        self._tell("close")


EXPLICIT = "share.acknowledgement.mode=explicit"


def configure(case: Case, group: str, **settings: str) -> None:
    """Give a group configs, told with underscores for dots."""
    words = ",".join(f"{name.replace('_', '.')}={value}" for name, value in settings.items())
    options = ("--entity-type", "groups", "--entity-name", group, "--add-config", words)
    code, text = run("configs", "--bootstrap-server", case.bootstrap, "--alter", *options)
    assert code == 0, text


def earliest(case: Case, word: str = "group", **settings: str) -> str:
    """A name for a group that reads from the beginning."""
    name = case.name(word)
    configure(case, name, share_auto_offset_reset="earliest", **settings)
    return name
