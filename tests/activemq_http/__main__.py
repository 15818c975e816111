"""Record the steps on ActiveMQ; see the package."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from bench.messaging_peers import ActiveMQ, accepts
from bench.peers import await_true, free_ports
from tests.activemq_http.steps import HOST, STEPS, fill, play, subscribe

HERE = Path(__file__).resolve().parent
RECORDING = HERE / "recording.json"


def main() -> int:
    (port,) = free_ports(1)
    with tempfile.TemporaryDirectory() as folder:
        command = ["mvn", "-q", "-B", "-f", str(HERE / "pom.xml"), "dependency:copy-dependencies"]
        subprocess.run([*command, f"-DoutputDirectory={folder}"], check=True)
        (jar,) = Path(folder).glob("jolokia-jvm-*.jar")
        said = f"port={port},host={HOST},user=guest,password=guest,agentContext=/api/jolokia"
        with ActiveMQ(java=[f"-javaagent:{jar}={said}"], use_jmx=True) as peer:
            await_true(lambda: accepts(port), 30, "jolokia listens")
            fill(peer.port)
            staying = subscribe(peer.port)
            answers = play(port)
            staying.transport.disconnect_socket()
            lines = ",\n".join(json.dumps(answer, sort_keys=True) for answer in answers)
            RECORDING.write_text(f'{{"peer": "ActiveMQ {peer.version}", "answers": [\n{lines}\n]}}\n')
    print(f"{len(STEPS)} answers of ActiveMQ")
    return 0


if __name__ == "__main__":
    sys.exit(main())
