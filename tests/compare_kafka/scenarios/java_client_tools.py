"""Kafka's Java client: a program that plays scenarios, in one virtual machine for all of them."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
from hashlib import sha256
from pathlib import Path

from bench import kafka_peer
from tests.compare_kafka.scenarios.programs_tools import Program

SOURCE = Path(__file__).resolve().parent.parent / "java" / "client"
BUILD_TIMEOUT_S = 120


def missing() -> str:
    """Return why there is no Java client here, or the empty string."""
    return kafka_peer.missing()


def built() -> list[str]:
    """Compile the program, unless that was done for this source, and return the command that starts it."""
    path = kafka_peer.class_path()
    sources = sorted(SOURCE.glob("*.java"))
    digest = sha256(b"".join(each.read_bytes() for each in sources)).hexdigest()
    classes = Path(sys.prefix) / f"kafka-java-client-{digest[:16]}"
    if not classes.exists():
        with tempfile.TemporaryDirectory(dir=sys.prefix) as folder:
            fresh = Path(folder) / "classes"
            command = ["javac", "-d", str(fresh), "-cp", path, *map(str, sources)]
            done = subprocess.run(command, capture_output=True, text=True, timeout=BUILD_TIMEOUT_S)
            assert done.returncode == 0, done.stderr
            with contextlib.suppress(OSError):  # Another process was quicker.
                fresh.rename(classes)
    quiet = "-Dorg.slf4j.simpleLogger.defaultLogLevel=off"
    return ["java", *kafka_peer.SMALL_JVM, quiet, "-cp", os.pathsep.join((str(classes), path)), "Main"]


program = Program(built)
