"""Kafka's own tool for looking into segments reads those that are here (K36)."""

from __future__ import annotations

import re
import subprocess
from itertools import groupby
from pathlib import Path

import pytest
from confluent_kafka import Producer

from bench import kafka_peer
from pillarbox import Broker

pytestmark = pytest.mark.row("K36")

TIMEOUT_S = 120
TOOL = "kafka.tools.DumpLogSegments"
CODECS = ("none", "gzip", "snappy", "lz4", "zstd")


def dumped(segment: Path) -> str:
    """What the tool makes of a segment, down to the records."""
    command = ["java", *kafka_peer.SMALL_JVM, "-cp", kafka_peer.class_path(), TOOL]
    command += ["--files", str(segment), "--deep-iteration", "--print-data-log"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.skipif(bool(kafka_peer.missing()), reason=kafka_peer.missing() or "")
def test_kafkas_dump_tool_reads_a_segment(tmp_path: Path) -> None:
    """Batches in each codec, headers and nulls, a transaction with its marker; all checksums are right."""
    with Broker(str(tmp_path), kafka_port=0) as broker:
        config = {"bootstrap.servers": broker.kafka_bootstrap}
        for codec in CODECS:
            producer = Producer(config | {"compression.type": codec, "linger.ms": 60_000})
            for number in range(3):
                producer.produce("orders", f"{codec} {number}" * 20, f"k{number}", headers={"a": "1"})
            assert producer.flush(30) == 0
        writer = Producer(config | {"transactional.id": "t"})
        writer.init_transactions(30)
        writer.begin_transaction()
        writer.produce("orders", None, "tombstone")
        writer.commit_transaction(30)
    (segment,) = (each for each in tmp_path.glob("logs/*/*.log") if b"tombstone" in each.read_bytes())
    assert segment.name == "00000000000000000000.log"
    text = dumped(segment)
    batches = [line for line in text.splitlines() if line.startswith("baseOffset:")]
    assert all("magic: 2" in line and "isvalid: true" in line for line in batches)
    # A producer may make more than one batch of its records. The two of the transaction are plain.
    compression = [name for name, _ in groupby(re.findall(r"compresscodec: (\w+)", "\n".join(batches)))]
    assert compression == [*CODECS, "none"]
    assert re.findall(r"^\| offset: (\d+)", text, re.MULTILINE) == [str(number) for number in range(17)]
    assert f"headerKeys: [a] key: k2 payload: {'zstd 2' * 20}" in text
    assert "key: tombstone" in text
    assert "endTxnMarker: COMMIT" in text
