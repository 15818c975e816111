"""kcat: what people reach for in a shell (Debian's is built on librdkafka 2.0)."""

from __future__ import annotations

import json
import shutil
import subprocess

from tests.compare_kafka.case import Case
from tests.transcripts.registry import scenario

TIMEOUT_S = 20


def missing() -> str:
    """Return why there is no kcat here, or the empty string."""
    return "" if shutil.which("kcat") else "no kcat on PATH (Debian: kcat)"


def kcat(case: Case, *arguments: str, given: str = "") -> str:
    """Run it; return what it wrote, or its last line of complaint."""
    command = ["kcat", "-b", case.bootstrap, "-X", "reconnect.backoff.ms=10", *arguments]
    done = subprocess.run(command, input=given, capture_output=True, text=True, timeout=TIMEOUT_S)
    return done.stdout if done.returncode == 0 else f"exit {done.returncode}: {done.stderr.splitlines()[-1:]}"


@scenario("K1", "K2", "K4", "K17", "K77")
def produce_and_consume(case: Case) -> None:
    """From standard input to a topic that is not there yet, and back."""
    name = case.name("t")
    kcat(case, "-P", "-t", name, "-K", ":", "-H", "a=1", given="k1:v1\nk2:v2\n")
    for codec in ("gzip", "snappy", "lz4", "zstd"):
        kcat(case, "-P", "-t", name, "-z", codec, given=f"{codec}\n")
    line = r"%p %o %k %s %h\n"
    case.saw("read", kcat(case, "-C", "-t", name, "-o", "beginning", "-e", "-q", "-f", line).splitlines())
    case.saw("last two", kcat(case, "-C", "-t", name, "-o", "-2", "-e", "-q").splitlines())
    case.saw("one", kcat(case, "-C", "-t", name, "-p", "0", "-o", "1", "-c", "1", "-q").splitlines())
    for record in kcat(case, "-C", "-t", name, "-o", "-1", "-e", "-q", "-J").splitlines():
        document = json.loads(record)
        case.saw("as JSON", {key: document[key] for key in ("partition", "offset", "tstype", "payload")})


@scenario("K15", "K31", "K37", "K77")
def asking(case: Case) -> None:
    """What is there, and which offset a time has."""
    name = case.name("t")
    kcat(case, "-P", "-t", name, given="a\nb\n")
    document = json.loads(kcat(case, "-L", "-J", "-t", name))
    case.saw("brokers", [broker["id"] for broker in document["brokers"]], document["controllerid"])
    case.saw("topics", document["topics"])
    case.saw("at 1", kcat(case, "-Q", "-t", f"{name}:0:1"))
    case.saw("at the end", kcat(case, "-Q", "-t", f"{name}:0:-1"))


@scenario("K50", "K54", "K77")
def group(case: Case) -> None:
    """A balanced consumer, and another that goes on behind it."""
    name = case.name("t")
    kcat(case, "-P", "-t", name, given="a\nb\nc\nd\n")
    options = ("-X", "auto.offset.reset=earliest", "-X", "heartbeat.interval.ms=100", "-q", "-c", "2")
    for turn in ("first", "second"):
        case.saw(turn, kcat(case, *options, "-G", case.name("group"), name).splitlines())
