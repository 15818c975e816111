"""Members of a share group on a broker that is killed, and what they and their producer were promised.

A producer writes to a topic of one partition; one member for each life of the broker fetches, accepts what it
holds in no order, so that much stays in flight in many pieces, and gives some back, each record once. Then:
no record comes again of which a member was told that it is settled, and in the end each one that was
acknowledged to the producer has come, unless the answer to its settlement was lost.
"""

from __future__ import annotations

import contextlib
import random
import threading
import time
from collections import Counter

from pillarbox.protocols.kafka.errors import ErrorCode as Code
from pillarbox.protocols.kafka.groups.share_state import Answer
from pillarbox.store.batch import encode_batch
from tests.protocols.kafka.asking import Asking
from tests.protocols.kafka.share_member import Member, configure

from .rounds import Wrong

TOPIC, GROUP = "shared", "sharers"
PRODUCED_AT_ONCE = 20
FETCHED_AT_ONCE = 60
HELD_MAX = 200
RELEASED_ONE_IN = 8
PATIENCE_S = 20.0


class Shares:
    """See the module. Records are known by their offsets."""

    def __init__(self, seed: int) -> None:
        self.counts: Counter[str] = Counter()
        self._chance = random.Random(seed)
        self._produced: set[int] = set()
        self._settled: set[int] = set()
        self._doubtful: set[int] = set()
        """Settled, but nobody was told so before the broker died."""
        self._released: set[int] = set()
        self._lives = 0

    def settle(self, bootstrap: str) -> None:
        """Make the topic and the group's config, if they are not there."""
        with Asking(bootstrap) as client:
            client.ask("Metadata", 9, topics=[{"name": TOPIC}], allow_auto_topic_creation=True)
            configure(client, GROUP, share_auto_offset_reset="earliest")

    def run(self, bootstrap: str, stop: threading.Event) -> None:
        """Produce, fetch and settle until the broker is gone."""
        with contextlib.suppress(OSError), Asking(bootstrap) as client:
            member, held = self._member(client), set[int]()
            while not stop.is_set():
                self._produce(client)
                if len(held) < HELD_MAX:
                    held |= self._fetch(member)
                for _ in range(self._chance.randrange(12)):
                    self._answer_some(member, held)

    def finish(self, bootstrap: str) -> None:
        """Take everything that is left, and see that nothing is missing. Raises Wrong."""
        with Asking(bootstrap) as client:
            member, seen = self._member(client), set[int]()
            deadline = time.monotonic() + PATIENCE_S
            while (found := self._fetch(member)) or self._missing(seen):
                if time.monotonic() > deadline:
                    break
                seen |= found
                if found:
                    self._settle(member, sorted(found), Answer.ACCEPT)
            if missing := self._missing(seen):
                raise Wrong(
                    f"{len(missing)} records never come to a share group, the first is {min(missing)}"
                )
        self.counts["settled by share groups"] = len(self._settled)

    def _missing(self, seen: set[int]) -> set[int]:
        return self._produced - self._settled - self._doubtful - seen

    def _member(self, client: Asking) -> Member:
        self._lives += 1
        return Member(client, f"life {self._lives}", GROUP, topic=TOPIC)

    def _produce(self, client: Asking) -> None:
        count = self._chance.randrange(1, PRODUCED_AT_ONCE)
        now_ms = int(time.time() * 1000)
        batch = b"".join(encode_batch([(None, b"x")] * count, timestamp_ms=now_ms).chunks)
        data = [{"name": TOPIC, "partition_data": [{"index": 0, "records": batch}]}]
        (answer,) = client.ask("Produce", 9, acks=-1, timeout=1000, topic_data=data).responses
        (told,) = answer.partition_responses
        self._demand(told.error_code, "a batch is refused")
        self._produced.update(range(told.base_offset, told.base_offset + count))

    def _fetch(self, member: Member) -> set[int]:
        """What the member gets: nothing that was settled."""
        member.beat()
        given = member.got(max_wait=50, max_records=FETCHED_AT_ONCE, batch_size=FETCHED_AT_ONCE)
        found = {offset for first, last, _ in given for offset in range(first, last + 1)}
        if again := found & self._settled:
            raise Wrong(
                f"{len(again)} settled records come again to a share group, the first is {min(again)}"
            )
        self._doubtful -= found
        return found

    def _answer_some(self, member: Member, held: set[int]) -> None:
        """Answer some of what it holds, in no order."""
        count = min(len(held), self._chance.randrange(1, 6))
        some = sorted(self._chance.sample(sorted(held), count))
        if not some:
            return
        held -= set(some)
        fresh = not self._released.intersection(some)
        if fresh and self._chance.randrange(RELEASED_ONE_IN) == 0:
            self._released.update(some)
            self._settle(member, some, Answer.RELEASE)
        else:
            self._settle(member, some, Answer.ACCEPT)

    def _settle(self, member: Member, offsets: list[int], answer: Answer) -> None:
        if answer is Answer.ACCEPT:
            self._doubtful.update(offsets)
        error = member.settle(*((offset, offset, [answer]) for offset in offsets))
        self._demand(Code(error), f"{answer.name} is refused")
        if answer is Answer.ACCEPT:
            self._doubtful.difference_update(offsets)
            self._settled.update(offsets)
        self.counts["answers of share groups"] += 1

    @staticmethod
    def _demand(error: int, sentence: str) -> None:
        if error != Code.NONE:
            raise Wrong(f"{sentence}: {error!r}")
