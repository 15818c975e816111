"""The two brokers of a comparison, each as a process with the same users, virtual hosts and limits."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from bench.peers import EXCHANGE_PLUGINS, HOST, Pillarbox, RabbitMQ, await_true
from tests.compare.operations import Sequence
from tests.compare.recording import Step
from tests.compare.run import Runner

DEFINITIONS = Path(__file__).resolve().parent / "definitions.json"
IMPORT_TIMEOUT_S = 30.0
MESSAGE_SIZE_MAX = 300_000  # Small, so that "too large" can be shown.

# RabbitMQ's queues, channels and writers are processes of their own: what one causes in another shows a
# round later at the earliest, the end of a channel with unsettled messages later still. Pillarbox answers
# all that a tick caused by the end of that tick, but for what a thread reads from a log.
QUIET_ROUNDS_RABBITMQ = 4
QUIET_ROUNDS_PILLARBOX = 1
REPLICATED_FACTOR = 10  # Answers of quorum queues and streams have been to a disk before, or from one.


@dataclass(frozen=True)
class Broker:
    """A running broker: how it calls itself, what it has printed, and how to run a sequence on it."""

    name: str
    port: int
    management_port: int
    quiet_rounds: int
    printed: Callable[[], str]

    def run(self, sequence: Sequence) -> list[Step]:
        rounds = self.quiet_rounds
        if any(kind in str(each) for each in sequence for kind in ("'quorum'", "'stream'")):
            rounds *= REPLICATED_FACTOR
        runner = Runner(HOST, self.port, management_port=self.management_port, quiet_rounds=rounds)
        return without_stream_counts(sequence, runner.run(sequence))


def without_stream_counts(sequence: Sequence, steps: list[Step]) -> list[Step]:
    """RabbitMQ counts the messages of a stream every few seconds only, and its readers not at all."""
    streams = {one.args.get("queue") for one in sequence if "'x-queue-type': 'stream'" in str(one)}
    for step in steps if streams else ():
        counts = step.get("queues", {})
        for name in streams.intersection(counts):
            if isinstance(counts[name], list):
                del counts[name]
        if not counts:
            step.pop("queues", None)
    return steps


@contextlib.contextmanager
def rabbitmq() -> Iterator[Broker]:
    """Run a private RabbitMQ node."""
    plugins = (*EXCHANGE_PLUGINS, "rabbitmq_management")
    with RabbitMQ(plugins=plugins, config=[f"max_message_size = {MESSAGE_SIZE_MAX}"]) as peer:
        readable = shutil.copy(DEFINITIONS, peer.data)  # The node may run as a user that cannot read ours.
        peer.ctl("import_definitions", str(readable))
        await_true(
            lambda: "limited" in peer.ctl("list_permissions", "-p", "/"),
            IMPORT_TIMEOUT_S,
            "definitions imported",
        )
        name, ports = f"RabbitMQ {peer.version}", (peer.amqp_port, peer.management_port)
        yield Broker(name, *ports, QUIET_ROUNDS_RABBITMQ, peer.printed)


@contextlib.contextmanager
def pillarbox() -> Iterator[Broker]:
    """Run `pillarbox serve` in memory."""
    env = {
        "PILLARBOX_LOAD_DEFINITIONS": str(DEFINITIONS),
        "PILLARBOX_MESSAGE_SIZE_MAX": str(MESSAGE_SIZE_MAX),
    }
    with Pillarbox(options=["--memory"], env=env) as peer:
        name, ports = f"Pillarbox {peer.version}", (peer.amqp_port, peer.management_port)
        yield Broker(name, *ports, QUIET_ROUNDS_PILLARBOX, peer.printed)
