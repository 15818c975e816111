"""Passwords are hashed wherever they are kept, and nowhere else: not in logs, answers, exports or files.

Every word that is planted is looked for as it is and in base64, in which HTTP and SASL carry it.
"""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from pamqp import commands

from bench.peers import HOST, Pillarbox
from pillarbox import Broker
from pillarbox.errors import StartupError
from pillarbox.protocols.amqp091 import methods
from tests.hostile.neighbour import connect
from tests.management.http import Client

pytestmark = pytest.mark.row("R94")

ENVIRONMENT, BOOT, PUT, CHANGED, IMPORTED = (
    "plantedByVariable",
    "plantedAtStart",
    "plantedByPut",
    "changedByPut",
    "plantedByImport",
)
WRONG, MALFORMED, NO_TEXT = "wrongAtLogin", "malformedLogin", "listedPassword"
IN_PATH, IN_FORM, IN_QUERY = "plantedInThePath", "plantedInAForm", "plantedInTheQuery"
IN_ADDRESS = "plantedInTheAddress"
PLANTED = (
    ENVIRONMENT,
    BOOT,
    PUT,
    CHANGED,
    IMPORTED,
    WRONG,
    MALFORMED,
    NO_TEXT,
    IN_PATH,
    IN_FORM,
    IN_QUERY,
    IN_ADDRESS,
)


def forms(word: str) -> Iterator[bytes]:
    """The word, and what every base64 has in it that holds the word, wherever in it that stands."""
    yield word.encode()
    for before in range(3):
        encoded = base64.b64encode(b"\0" * before + word.encode())
        yield encoded[-(-before * 8 // 6) : (before + len(word)) * 8 // 6]


def found_in(data: bytes) -> list[str]:
    return [word for word in PLANTED if any(form in data for form in forms(word))]


def log_in(port: int, mechanism: str, response: bytes) -> None:
    with connect(HOST, port) as client:
        client.send_bytes(b"AMQP\0\0\x09\1")
        client.expect(commands.Connection.Start)
        properties = {"capabilities": {"authentication_failure_close": True}}
        answer = (properties, mechanism, response, "en_US")
        client.send_bytes(methods.method_frame(0, methods.CONNECTION_START_OK, *answer))
        assert client.expect(commands.Connection.Close).reply_code == 403


def plant(peer: Pillarbox, api: Client) -> None:
    """Bring every password in, each by another door."""
    for password in (PUT, CHANGED):
        assert api.request("PUT", "users/u", {"password": password, "tags": ""}).status < 300
    users = [{"name": "v", "password": IMPORTED, "tags": []}]
    assert api.request("POST", "definitions", {"users": users}).status < 300
    users = [{"name": "w", "password": [NO_TEXT], "tags": []}]
    refused = api.request("POST", "definitions", {"users": users})
    assert refused.status == 400
    assert not found_in(refused.body)
    assert api.request("PUT", "users/w", {"password": [NO_TEXT], "tags": ""}).status == 400
    api.get(f"auth/hash_password/{IN_PATH}")
    assert api.request("POST", "login", f"username=guest&password={IN_FORM}".encode()).status == 401
    api.request("GET", f"whoami?password={IN_QUERY}")
    api.request("GET", f"nothing/{quote(IN_PATH)}")
    wrong = Client(f"http://{HOST}:{peer.management_port}", "guest", WRONG)
    assert wrong.request("GET", "whoami").status == 401
    log_in(peer.amqp_port, "PLAIN", b"\0guest\0" + WRONG.encode())
    log_in(peer.amqp_port, "PLAIN", b"\0guest\0\0" + MALFORMED.encode() + b"\xff")
    log_in(peer.amqp_port, "AMQPLAIN", MALFORMED.encode())
    wrong.close()


def everything_shown(peer: Pillarbox, api: Client) -> Iterator[tuple[str, bytes]]:
    for path in api.get("openapi.json")["paths"]:
        if "{" not in path:
            yield path, api.request("GET", path.removeprefix("/api/").removeprefix("/")).body
    metrics = Client(f"http://{HOST}:{peer.ports['prometheus']}")
    for path in ("/metrics", "/metrics/per-object"):
        metrics._connection.request("GET", path)
        yield path, metrics._connection.getresponse().read()
    metrics.close()


def test_no_password_is_to_be_found_anywhere(tmp_path: Path) -> None:
    boot = tmp_path / "boot.json"
    boot.write_text(json.dumps({"users": [{"name": "b", "password": BOOT, "tags": ["administrator"]}]}))
    data = tmp_path / "broker"
    data.mkdir()
    options = ("--log-level", "debug", "--load-definitions", str(boot))
    with Pillarbox(options=options, env={"RABBITMQ_DEFAULT_PASS": ENVIRONMENT}, data=data) as peer:
        api = Client(f"http://{HOST}:{peer.management_port}", "guest", ENVIRONMENT)
        plant(peer, api)
        for path, body in everything_shown(peer, api):
            assert not found_in(body), path
        api.close()
        peer.stop()
        files = [file for file in data.rglob("*") if file.is_file()]
        assert peer.output in files
        assert any("data" in file.parts for file in files)
        for file in files:
            assert not found_in(file.read_bytes()), file


def test_definitions_that_stop_the_start_do_not_show_passwords(tmp_path: Path) -> None:
    """What is wrong with a password is said without it."""
    boot = tmp_path / "boot.json"
    boot.write_text(json.dumps({"users": [{"name": "b", "password": [NO_TEXT], "tags": []}]}))
    with pytest.raises(StartupError, match=r"users\[0\] \(b\): 'password' must be a text") as failed:
        Broker(load_definitions=str(boot)).start()
    assert not found_in(str(failed.value).encode())


@pytest.mark.parametrize(
    "url",
    [
        f"http://user:{IN_ADDRESS}@127.0.0.1:1",
        f"http://user:{IN_ADDRESS}@127.0.0.1:99999",
        f"ftp://user:{IN_ADDRESS}@127.0.0.1",
        f"http://user:{IN_ADDRESS}@[::1",
    ],
)
def test_address_of_a_broker_is_shown_without_its_password(url: str) -> None:
    """In errors of commands, with tracebacks."""
    env = {**os.environ, "PILLARBOX_URL": url, "PILLARBOX_LOG_LEVEL": "debug"}
    command = [sys.executable, "-m", "pillarbox", "queues", "list"]
    done = subprocess.run(command, capture_output=True, env=env, timeout=60, check=False)
    assert done.returncode
    assert done.stderr
    assert not found_in(done.stdout + done.stderr)


def test_password_is_in_no_repr() -> None:
    with Broker(default_pass=BOOT) as broker:
        shown = [repr(broker), *broker.call(lambda server: [repr(server.config), repr(server.core.users)])]
        shown += broker.call(lambda server: [repr(user) for user in server.core.users.by_name.values()])
    assert not found_in("".join(shown).encode())


def test_what_is_looked_for_would_be_found() -> None:
    for word in PLANTED:
        for before in range(5):
            data = b"guest:"[:before] + word.encode() + b"!"
            assert word in found_in(data)
            assert word in found_in(base64.b64encode(data))
