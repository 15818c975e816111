"""Kill a broker under idempotent and transactional Kafka load many times: `python -m tests.kill.kafka`.

An idempotent producer fills the topic `in`; a copier moves it to `out`, record by record and its own offsets
with them, in transactions of some records, of which it aborts every third on purpose. After each SIGKILL and
restart: every acknowledged record is in `in`, once, and in order; what `out` shows to readers of committed
records is the beginning of `in`, up to the copier's offset, and nothing twice; that offset has not gone back.
A second transactional producer has an epoch for each transaction (`second_kind`): readers see exactly what it
was told that it has committed. Members of a share group (`shares`) never see again what they were told is
settled, and in the end everything that was acknowledged to its producer has come to one of them.

Everything that the clients keep in memory dies with the round, as if their processes had been killed, too.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition

from bench.peers import HOST

from . import second_kind
from .rounds import LAUNCHER, Broker, Wrong
from .second_kind import SecondKind
from .shares import Shares

SMALL = {"SMALL_SEGMENT": "20000", "SMALL_CHECKPOINT": "100000", "SMALL_RECORDS": "100"}
PATIENCE_S = 20.0
LOAD_S_MAX = 1.0
STEP_S = 10.0
"""For each step of a transaction: long enough for a busy machine."""
JOIN_S = 5.0
COPIED_AT_ONCE = 20
ABORT_EVERY = 3
SOURCE, TARGET, GROUP = "in", "out", "copier"
HASTY: dict[str, Any] = {"log_level": 0, "reconnect.backoff.max.ms": 200, "socket.timeout.ms": 10_000}
"""Clients that do not wait for a broker that is dead."""
TRANSACTION: dict[str, Any] = {
    "transactional.id": GROUP,
    "transaction.timeout.ms": 10_000,
    "message.timeout.ms": 9_000,
}


class KafkaRounds:
    """A folder, a broker on it that is killed again and again, and what was seen so far."""

    def __init__(self, path: Path, seed: int) -> None:
        self.seed = seed
        self._chance = random.Random(seed)
        options = ("--kafka-port", "0")
        self._broker = Broker(env=SMALL, command=(sys.executable, str(LAUNCHER)), data=path, options=options)
        self.counts: Counter[str] = Counter()
        self._acknowledged: set[int] = set()
        self._moved = threading.Event()
        """Something was committed in this round: a kill before that would show nothing."""
        self._next = 0
        self._offset = 0
        self._second = SecondKind()
        self._shares = Shares(self._chance.getrandbits(32))
        self._faults: list[Wrong] = []
        """What threads have found."""

    # --- a round -------------------------------------------------------------------------------------

    def round(self) -> None:
        """Start, look, put load on it, kill."""
        with self._broker:
            copier = self._producer(**TRANSACTION)
            self._eventually(lambda: copier.init_transactions(PATIENCE_S))
            self._second.settle(self._bootstrap)
            self._shares.settle(self._bootstrap)
            self._look()
            stop = threading.Event()
            threads = [
                threading.Thread(target=self._fill, args=(stop,), daemon=True),
                threading.Thread(target=self._copy, args=(copier, stop), daemon=True),
                threading.Thread(target=self._run, args=(self._second, stop), daemon=True),
                threading.Thread(target=self._run, args=(self._shares, stop), daemon=True),
            ]
            for thread in threads:
                thread.start()
            self._moved.clear()
            self._demand(self._moved.wait(PATIENCE_S), f"nothing was committed in {PATIENCE_S} s")
            time.sleep(self._chance.uniform(0.0, LOAD_S_MAX))
            self._broker.kill()
            stop.set()
            for thread in threads:
                # librdkafka may wait for ever for a coordinator that is dead; it finds no other on its port.
                thread.join(JOIN_S)
        if self._faults:
            raise self._faults[0]
        self.counts["kills"] += 1

    def finish(self) -> None:
        """Look once more, after the last kill."""
        with self._broker:
            self._eventually(lambda: self._producer(**TRANSACTION).init_transactions(PATIENCE_S))
            self._second.settle(self._bootstrap)
            self._look()
            self._shares.finish(self._bootstrap)
            self.counts.update(self._shares.counts)

    def _eventually(self, attempt: Any) -> None:
        """Try until it succeeds: what was open when the broker died has to end first."""
        end = time.monotonic() + PATIENCE_S
        while True:
            try:
                attempt()
            except KafkaException as error:
                if time.monotonic() > end:
                    raise Wrong(f"seed {self.seed}: {error} for {PATIENCE_S} s") from error
            else:
                return

    @property
    def _bootstrap(self) -> str:
        return f"{HOST}:{self._broker.ports['kafka']}"

    # --- load ----------------------------------------------------------------------------------------

    def _producer(self, **more: Any) -> Producer:
        return Producer(
            {
                "bootstrap.servers": self._bootstrap,
                "enable.idempotence": True,
                "linger.ms": 1,
                **HASTY,
                **more,
            }
        )

    def _consumer(self, **more: Any) -> Consumer:
        return Consumer(
            {
                "bootstrap.servers": self._bootstrap,
                "group.id": GROUP,
                "enable.auto.commit": False,
                "isolation.level": "read_committed",
                "fetch.wait.max.ms": 10,
                **HASTY,
                **more,
            }
        )

    def _fill(self, stop: threading.Event) -> None:
        """Produce numbers until the broker is gone."""
        producer = self._producer()

        def delivered(error: Any, message: Any) -> None:
            if error is None:
                self._acknowledged.add(int(message.value()))

        while not stop.is_set():
            for _ in range(self._chance.randrange(1, 20)):
                producer.produce(SOURCE, str(self._next).encode(), partition=0, on_delivery=delivered)
                self._next += 1
            producer.poll(0.005)
        producer.purge()
        producer.flush(0.1)

    def _copy(self, producer: Producer, stop: threading.Event) -> None:
        """Copy in transactions until the broker is gone."""
        consumer = self._consumer()
        consumer.assign([TopicPartition(SOURCE, 0, self._offset)])
        turn = 0
        try:
            while not stop.is_set():
                found = [one for one in consumer.consume(COPIED_AT_ONCE, 0.05) if one.error() is None]
                if not found:
                    continue
                turn += 1
                producer.begin_transaction()
                for one in found:
                    producer.produce(TARGET, one.value(), partition=0)
                following = found[-1].offset() + 1
                places = [TopicPartition(SOURCE, 0, following)]
                producer.send_offsets_to_transaction(places, consumer.consumer_group_metadata(), STEP_S)
                if turn % ABORT_EVERY == 0:
                    producer.abort_transaction(STEP_S)
                    consumer.seek(TopicPartition(SOURCE, 0, found[0].offset()))
                else:
                    producer.commit_transaction(STEP_S)
                    self.counts["transactions"] += 1
                    self._moved.set()
        except KafkaException:
            if not stop.wait(PATIENCE_S):
                raise
        finally:
            producer.purge()
            consumer.close()

    def _run(self, load: SecondKind | Shares, stop: threading.Event) -> None:
        try:
            load.run(self._bootstrap, stop)
        except Wrong as wrong:
            self._faults.append(wrong)

    # --- looking -------------------------------------------------------------------------------------

    def _read(self, topic: str) -> list[int]:
        """Everything in a topic that was committed."""
        consumer = self._consumer(**{"enable.partition.eof": True})
        try:
            if topic not in consumer.list_topics(timeout=PATIENCE_S).topics:
                return []
            consumer.assign([TopicPartition(topic, 0, 0)])
            found: list[int] = []
            end = time.monotonic() + PATIENCE_S
            while time.monotonic() < end:
                for one in consumer.consume(1000, 0.1):
                    error = one.error()
                    if error is None:
                        found.append(int(one.value()))
                    elif error.code() == KafkaError._PARTITION_EOF:
                        return found
            raise Wrong(f"seed {self.seed}: {topic} has no end after {len(found)} records")
        finally:
            consumer.close()

    def _committed(self) -> int:
        consumer = self._consumer()
        try:
            (place,) = consumer.committed([TopicPartition(SOURCE, 0)], PATIENCE_S)
            return max(0, int(place.offset))
        finally:
            consumer.close()

    def _look(self) -> None:
        """Compare what is there with what was promised."""
        source, target, offset = self._read(SOURCE), self._read(TARGET), self._committed()
        self._demand(source == sorted(set(source)), "records of `in` are out of order or there twice")
        lost = self._acknowledged - set(source)
        self._demand(
            not lost, f"{len(lost)} acknowledged records are lost, the first is {min(lost, default=0)}"
        )
        self._demand(offset >= self._offset, f"the group went back from {self._offset} to {offset}")
        different = [
            at for at, (ours, theirs) in enumerate(zip(target, source, strict=False)) if ours != theirs
        ]
        self._demand(
            target == source[:offset],
            f"`out` has {len(target)} records, the group has read {offset}; different are {different[:5]}",
        )
        second = self._read(second_kind.TOPIC)
        due = self._second.committed
        sentence = f"of the second kind are {len(second)} records, and {len(due)} were committed"
        self._demand(second == due, sentence)
        self.counts["of the second kind"] = len(second)
        self.counts["ends asked for again"] = self._second.asked_again
        self._offset = offset
        self.counts["records"], self.counts["copied"] = len(source), len(target)

    def _demand(self, kept: bool, sentence: str) -> None:
        if not kept:
            raise Wrong(f"seed {self.seed}, after {self.counts['kills']} kills: {sentence}")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.kill.kafka", description=__doc__)
    parser.add_argument("--rounds", type=int, default=200, help="how often to kill (default %(default)s)")
    parser.add_argument("--seed", type=int, default=None, help="repeat a run; the default is another one")
    arguments = parser.parse_args()
    seed = arguments.seed if arguments.seed is not None else random.randrange(1 << 31)
    print(f"seed {seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="pillarbox-kill-") as path:
        rounds = KafkaRounds(Path(path), seed)
        try:
            for _ in range(arguments.rounds):
                rounds.round()
            rounds.finish()
        except Wrong as error:
            print(error, file=sys.stderr)
            return 1
    print("all as promised: " + ", ".join(f"{count:,} {name}" for name, count in rounds.counts.items()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
