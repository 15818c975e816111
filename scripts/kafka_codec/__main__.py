"""Write `pillarbox.protocols.kafka.messages` from the message definitions in Kafka's own client library.

    python -m scripts.kafka_codec            write the package
    python -m scripts.kafka_codec --check    change nothing; name what is out of date and exit 1

`make kafka-codec` runs the first. The jars come from Maven's repository into Maven's own cache, so a second
run needs no network. Without Maven the program says so and exits 3.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from zipfile import ZipFile

from scripts.kafka_codec.package import NEWEST, OLDEST, package
from scripts.kafka_codec.schema import Definitions

ROOT = Path(__file__).resolve().parents[2]
MESSAGES = ROOT / "src" / "pillarbox" / "protocols" / "kafka" / "messages"
NO_MAVEN = 3
"""The exit code where there is no `mvn`: whoever calls may take that for a reason to skip."""
DOWNLOAD_SECONDS = 300


def definitions(release: str) -> Definitions:
    """Fetch the kafka-clients jar of a release, if it is not in Maven's cache, and read its messages."""
    with tempfile.TemporaryDirectory() as folder:
        artifact = f"org.apache.kafka:kafka-clients:{release}"
        subprocess.run(
            ["mvn", "-q", "-B", "dependency:copy", f"-Dartifact={artifact}", f"-DoutputDirectory={folder}"],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=sys.stderr,
            check=True,
            timeout=DOWNLOAD_SECONDS,
        )
        with ZipFile(Path(folder) / f"kafka-clients-{release}.jar") as jar:
            return Definitions.read(release, jar)


def formatted(files: dict[str, str]) -> dict[str, str]:
    """Return the files as `make fmt` leaves them."""
    ruff = Path(sys.executable).with_name("ruff")
    with tempfile.TemporaryDirectory() as folder:
        for name, text in files.items():
            (Path(folder) / name).write_text(text, encoding="utf-8")
        # The folder is outside the project, so its settings are named.
        settings = ["--config", str(ROOT / "pyproject.toml"), "--quiet", folder]
        subprocess.run([ruff, "check", "--fix-only", *settings], cwd=ROOT, check=True)
        subprocess.run([ruff, "format", *settings], cwd=ROOT, check=True)
        return {name: (Path(folder) / name).read_text(encoding="utf-8") for name in files}


def main() -> int:
    parser = argparse.ArgumentParser(description="write the Kafka codec from Kafka's message definitions")
    parser.add_argument("--check", action="store_true", help="change nothing; exit 1 if it is out of date")
    check = parser.parse_args().check
    if shutil.which("mvn") is None:
        print(
            "the Kafka codec is generated with Maven's help (on Debian: apt-get install maven)",
            file=sys.stderr,
        )
        return NO_MAVEN
    made = formatted(package(definitions(NEWEST), definitions(OLDEST)))
    there = {path.name: path.read_text(encoding="utf-8") for path in MESSAGES.glob("*.py")}
    wrong = sorted(name for name in made.keys() | there.keys() if made.get(name) != there.get(name))
    if check:
        for name in wrong:
            print(
                f"out of date: {(MESSAGES / name).relative_to(ROOT)}; run `make kafka-codec`", file=sys.stderr
            )
        return 1 if wrong else 0
    for name in wrong:
        if name in made:
            (MESSAGES / name).write_text(made[name], encoding="utf-8")
        else:
            (MESSAGES / name).unlink()
    print(f"{len(made)} files, {len(wrong)} of them changed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
