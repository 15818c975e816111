"""Run the integration suites of kombu and Celery, taken from their source distributions, against a broker.

    make suites                                                 against Pillarbox, compared with the record
    python tests/clients/suites/run.py --broker rabbitmq --record     make that record anew
    python tests/clients/suites/run.py --broker amqp://guest:guest@localhost:5672/ --suite kombu

The suites are fetched in the versions that this interpreter has installed, into --work (default: a temporary
folder that is removed; a kept one saves the set-up), and run there in a virtual environment of their own.
Nothing of them is kept in this repository but the outcome of each test on RabbitMQ, in
`rabbitmq-3.10.8.json`. A run ends with status 1 if a test that passes there does not pass here.

What is not run, and why, stands in EXCLUDED and, with it, in the record. Celery's suite keeps its results in
Redis, as its authors run it: `redis-server` (Debian package of that name) is started on a free port.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import importlib.metadata
import json
import os
import shutil
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from broker_target import STARTERS, Target, peers, use_running

RECORD = Path(__file__).resolve().parent / "rabbitmq-3.10.8.json"
SUITES = ("kombu", "celery")
PACKAGES = (
    "redis",
    "sqlalchemy",
    "msgpack",
    "pyyaml",
    "cryptography",
    "pydantic",
    "python-memcached",
    "django",
    "pytest",
    "pytest-timeout",
    "pytest-rerunfailures",
    "pytest-subtests",
    "pytest-order",
    "pytest-click",
    "freezegun",
)
SUITE_TIMEOUT_S = {"kombu": 600, "celery": 3600}

# What pytest is given, and by file what it is not given and why.
FILES = {
    "kombu": ["t/integration/test_py_amqp.py"],
    "celery": ["-p", "celery.contrib.pytest", "t/integration"],
}
EXCLUDED = {
    "kombu": {
        "t/integration/test_kafka.py": "another transport",
        "t/integration/test_mongodb.py": "another transport",
        "t/integration/test_pgmq.py": "another transport",
        "t/integration/test_redis.py": "another transport",
        "t/integration/test_redis_brpop_qos.py": "another transport",
        "t/integration/test_sqs.py": "another transport",
    },
    "celery": {
        "t/integration/test_redis_backend.py": "the Redis backend alone, no broker",
        "t/integration/test_cache_backend.py": "the memcached backend alone, no broker",
        "t/integration/test_backend.py": "needs Azure",
        "t/integration/test_upgrade.py": "a command that rewrites settings, no broker",
        "t/integration/test_connection_recovery.py": "needs Redis as the broker",
    },
}

Outcomes = dict[str, str]


def fetch(suite: str, work: Path) -> Path:
    """Download and unpack a source distribution; return its folder."""
    version = importlib.metadata.version(suite)
    folder = work / f"{suite}-{version}"
    if not folder.is_dir():
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", ":all:"]
        subprocess.run([*command, "--dest", str(work), f"{suite}=={version}"], check=True)
        shutil.unpack_archive(work / f"{suite}-{version}.tar.gz", work)
    return folder


def environment(work: Path) -> Path:
    """Make the suites' virtual environment; return its interpreter."""
    python = work / "venv" / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(work / "venv")], check=True)
        versions = [f"{suite}=={importlib.metadata.version(suite)}" for suite in SUITES]
        command = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*command, *versions, *PACKAGES], check=True)
    return python


@contextlib.contextmanager
def redis() -> Iterator[int]:
    """Run a Redis server without persistence; give its port."""
    if shutil.which("redis-server") is None:
        raise SystemExit("Celery's suite needs redis-server (Debian: apt-get install redis-server)")
    (port,) = peers.free_ports(1)
    command = ["redis-server", "--port", str(port), "--bind", peers.HOST, "--save", "", "--appendonly", "no"]
    with tempfile.TemporaryDirectory() as folder:
        process = subprocess.Popen(
            [*command, "--dir", folder], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
        )
        try:
            yield port
        finally:
            process.terminate()
            process.wait()


def settings(suite: str, target: Target, redis_port: int, python: Path) -> dict[str, str]:
    """Return the environment that tells a suite where everything is, also the command `celery`."""
    path = {"PATH": f"{python.parent}{os.pathsep}{os.environ['PATH']}"}
    if suite == "kombu":
        return path | {"RABBITMQ_HOST": target.host, "RABBITMQ_5672_TCP": str(target.port)}
    return path | {
        "TEST_BROKER": f"pyamqp://guest:guest@{target.host}:{target.port}//",
        "TEST_BACKEND": f"redis://{peers.HOST}:{redis_port}/0",
        "REDIS_HOST": peers.HOST,
        "REDIS_PORT": str(redis_port),
    }


def run(suite: str, target: Target, work: Path, redis_port: int, options: list[str]) -> Outcomes:
    """Run one suite; return the outcome of each test: passed, or skipped, failed, error: why."""
    folder = fetch(suite, work)
    report = work / f"{suite}.xml"
    report.unlink(missing_ok=True)
    python = environment(work)
    command = [str(python), "-m", "pytest", "-q", "--timeout", "300", "--tb", "short", "-rfE"]
    command += ["-p", "no:cacheprovider", f"--junitxml={report}", *FILES[suite]]
    command += [f"--ignore={path}" for path in EXCLUDED[suite]]
    log = work / f"{suite}.log"
    print(f"running the suite of {folder.name} against {target}; output in {log}", flush=True)
    with log.open("w") as output:
        process = subprocess.Popen(
            [*command, *options],
            cwd=folder,
            env=os.environ | settings(suite, target, redis_port, python),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        try:
            process.wait(SUITE_TIMEOUT_S[suite])
        finally:
            process.kill()
            process.wait()
    if not report.exists():
        raise SystemExit(f"the suite of {suite} did not end with a report; see {log}")
    return outcomes(report)


def outcomes(report: Path) -> Outcomes:
    found: Outcomes = {}
    for case in ElementTree.parse(report).iter("testcase"):
        name = f"{case.get('classname')}::{case.get('name')}"
        outcome = "passed"
        for kind in ("error", "failure", "skipped"):
            if (element := case.find(kind)) is not None:
                message = (element.get("message") or "").splitlines() or [""]
                outcome = f"{'failed' if kind == 'failure' else kind}: {message[0][:200]}"
        found[name] = outcome
    return dict(sorted(found.items()))


def summary(found: Outcomes) -> str:
    counts = collections.Counter(outcome.split(":")[0] for outcome in found.values())
    return ", ".join(f"{count} {kind}" for kind, count in sorted(counts.items()))


def compare(suite: str, found: Outcomes, recorded: Outcomes) -> list[str]:
    """Return the tests that pass on RabbitMQ and not here."""
    worse = [
        f"{suite}: {name}: {found.get(name, 'not run')}"
        for name, outcome in recorded.items()
        if outcome == "passed" and found.get(name) != "passed"
    ]
    better = [
        name for name, outcome in found.items() if outcome == "passed" and recorded.get(name) != "passed"
    ]
    print(
        f"{suite}: here {summary(found)}; on RabbitMQ {summary(recorded)}; passing only here: {len(better)}"
    )
    return worse


def main() -> int:
    parser = argparse.ArgumentParser(description="Run kombu's and Celery's own integration suites.")
    parser.add_argument("--broker", default="pillarbox", help="pillarbox, rabbitmq or an amqp:// URL")
    parser.add_argument("--suite", choices=SUITES, action="append", help="default: both")
    parser.add_argument("--work", type=Path, help="folder to keep the sources and the environment in")
    parser.add_argument("--record", action="store_true", help=f"write the outcomes to {RECORD.name}")
    parser.add_argument("options", nargs="*", help="further options for pytest, after --: a part of a suite")
    arguments = parser.parse_args()
    with contextlib.ExitStack() as stack:
        work = arguments.work
        if work is None:
            work = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="suites-")))
        work.mkdir(parents=True, exist_ok=True)
        work = work.resolve()
        redis_port = stack.enter_context(redis())
        start = STARTERS.get(arguments.broker)
        target = stack.enter_context(start() if start else use_running(arguments.broker))
        recorded: dict[str, Any] = json.loads(RECORD.read_text()) if RECORD.exists() else {}
        worse: list[str] = []
        for suite in arguments.suite or SUITES:
            found = run(suite, target, work, redis_port, arguments.options)
            if arguments.record:
                if arguments.options:  # A part: the other outcomes stay as they are.
                    found = dict(sorted((recorded[suite]["outcomes"] | found).items()))
                entry = {"version": importlib.metadata.version(suite), "excluded": EXCLUDED[suite]}
                recorded[suite] = entry | {"summary": summary(found), "outcomes": found}
                RECORD.write_text(json.dumps(recorded, indent=1, ensure_ascii=False) + "\n")
                print(f"{suite}: {summary(found)}")
            else:
                expected = recorded[suite]["outcomes"]
                if arguments.options:
                    expected = {name: outcome for name, outcome in expected.items() if name in found}
                worse += compare(suite, found, expected)
    print(*worse, sep="\n")
    return 1 if worse else 0


if __name__ == "__main__":
    sys.exit(main())
