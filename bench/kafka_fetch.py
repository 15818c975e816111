"""What a fetch costs, with all partitions named each time and in a fetch session (KIP-227).

    python -m bench.kafka_fetch

One client on a core in memory, without a socket: so many topics, of which one has a batch of a record of 100
bytes to give. CPU time of a request from its bytes to those of the answer, the least of five rounds; and the
bytes.
Measured on the machine of `bench/KAFKA.md`, before there were sessions, then now without one and in one:

    partitions      before      without one       in one    bytes without    bytes in a session
             1     18.3 us          17.1 us      21.4 us        83 +  234          83 + 234
            10       89 us            77 us        74 us       425 +  612          83 + 234
           100      796 us           728 us       616 us     3,935 + 4,482         83 + 234
         1,000   12,168 us        11,194 us     9,853 us   39,936 + 44,083         83 + 234
"""

from __future__ import annotations

import struct
import time
from typing import Any

from tests.protocols.kafka.asking import built
from tests.protocols.kafka.oracle import encoded, kio_class
from tests.protocols.kafka.rig import NOW_MS, Rig
from tests.protocols.kafka.test_records import batch

FETCH, VERSION = 1, 12
ROUNDS = 5
SIZES = ((1, 5000), (10, 1000), (100, 200), (1000, 20))
"""Partitions, and requests a round."""
LIMITS = {"max_bytes": 1 << 24, "min_bytes": 0, "max_wait": 0}
EPOCH_MARK = 0x7A7A_7A7A
"""What stands for the epoch in the bytes that are sent again and again."""


class Bench:
    """A client that has made its topics and written to the first."""

    def __init__(self, topics: int) -> None:
        self.rig = Rig()
        self.client = self.rig.connect()
        self._topics = topics
        for number in range(topics):
            wanted = {"name": f"t{number}", "num_partitions": 1, "replication_factor": 1}
            self._ask(19, 7, topics=[wanted], timeout=5000)
        records = batch(b"x" * 100, timestamp_ms=NOW_MS)
        data = [{"name": "t0", "partition_data": [{"index": 0, "records": records}]}]
        self._ask(0, 9, acks=-1, timeout=1000, topic_data=data)

    def _ask(self, key: int, version: int, **values: Any) -> None:
        body = encoded(built(kio_class(key, version, "request"), values))
        self.client.connection.receive(self.client.request(key, version, body))
        self.rig.turn()

    def body(self, topics: int, **session: int) -> bytes:
        """A fetch of the first topics from their beginning."""
        place = {"partition": 0, "fetch_offset": 0, "partition_max_bytes": 1 << 20}
        partitions = [{**place, "current_leader_epoch": -1, "last_fetched_epoch": -1}]
        wanted = [{"topic": f"t{number}", "partitions": partitions} for number in range(topics)]
        return encoded(built(kio_class(FETCH, VERSION, "request"), {**LIMITS, **session, "topics": wanted}))

    def fetch(self, body: bytes) -> tuple[int, bytes]:
        """Bytes in, bytes out."""
        request = self.client.request(FETCH, VERSION, body)
        self.client.connection.receive(request)
        return len(request), b"".join(self.client.connection.take_output())

    def measure(self, requests: int, *, in_session: bool) -> tuple[float, int, int]:
        """Microseconds of a request, its bytes, and those of its answer."""
        whole = self.body(self._topics, session_epoch=0 if in_session else -1)
        _, answer = self.fetch(whole)
        (session,) = struct.unpack_from(">i", answer, 4 + 4 + 1 + 4 + 2)
        body = self.body(1, session_id=session, session_epoch=EPOCH_MARK) if in_session else whole
        mark, epoch, least, sizes = struct.pack(">i", EPOCH_MARK), 0, float("inf"), (0, 0)
        for _ in range(ROUNDS):
            began = time.process_time()
            for _ in range(requests):
                epoch += 1
                sent, answer = self.fetch(
                    body.replace(mark, struct.pack(">i", epoch)) if in_session else body
                )
                sizes = sent, len(answer)
            least = min(least, (time.process_time() - began) / requests * 1e6)
        return least, *sizes


def main() -> None:
    for topics, requests in SIZES:
        for in_session in (False, True):
            spent, sent, answered = Bench(topics).measure(requests, in_session=in_session)
            how = "in a session" if in_session else "without one"
            print(f"{topics:5} partitions, {how:12}: {spent:9.1f} us, {sent:6} + {answered:6} bytes")


if __name__ == "__main__":
    main()
