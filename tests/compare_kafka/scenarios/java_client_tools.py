"""Kafka's Java client: a program that plays scenarios, in one virtual machine for all of them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from bench import kafka_peer
from tests.compare_kafka.scenarios.programs_tools import Program

SOURCE = Path(__file__).resolve().parent.parent / "java" / "client"
BUILD_TIMEOUT_S = 120


def missing() -> str:
    """Return why there is no Java client here, or the empty string."""
    return kafka_peer.missing()


def built() -> list[str]:
    """Compile the program, if its source has changed, and return the command that starts it."""
    classes = Path(sys.prefix) / "kafka-java-client"
    path = kafka_peer.class_path()
    sources = sorted(SOURCE.glob("*.java"))
    main = classes / "Main.class"
    if not main.exists() or main.stat().st_mtime < max(each.stat().st_mtime for each in sources):
        command = ["javac", "-d", str(classes), "-cp", path, *map(str, sources)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=BUILD_TIMEOUT_S)
        assert done.returncode == 0, done.stderr
    quiet = "-Dorg.slf4j.simpleLogger.defaultLogLevel=off"
    return ["java", *kafka_peer.SMALL_JVM, quiet, "-cp", os.pathsep.join((str(classes), path)), "Main"]


program = Program(built)
