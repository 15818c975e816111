"""What a shovel's parameter may hold, in RabbitMQ's texts (R97, R143)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.peers import await_true
from pillarbox import Broker
from pillarbox.ops.management.node import NODE_NAME
from tests.management.http import Client, client
from tests.shovel.__main__ import FOLDER, answer, said_by
from tests.shovel.differences import DIFFERENT
from tests.shovel.values import GOOD, VALUES, changed

RECORDING = json.loads((FOLDER / "validation.json").read_text())
RECORDED = RECORDING["answers"]
SECRET = "hunter2"


@pytest.fixture(scope="module")
def broker() -> Iterator[Broker]:
    with Broker(management_port=0) as broker:
        yield broker


@pytest.fixture
def api(broker: Broker) -> Iterator[Client]:
    with client(broker) as found:
        yield found


@pytest.mark.row("R97", "R143")
@pytest.mark.parametrize("name", VALUES)
def test_value_is_judged_as_rabbitmq_judges_it(api: Client, name: str) -> None:
    found = answer(api, VALUES[name])
    if name in DIFFERENT:
        assert found != RECORDED[name], "the difference is none any more"
        assert found["status"] in (201, 400)
    else:
        assert found == RECORDED[name]


@pytest.mark.row("R97")
@pytest.mark.parametrize("component", ["federation-upstream", "nonsense"])
def test_component_that_is_not_there_is_refused_in_rabbitmqs_words(api: Client, component: str) -> None:
    """What to do instead may follow them."""
    reply = api.request("PUT", f"parameters/{component}/%2F/x", {"value": {}})
    assert reply.status == RECORDED[component]["status"] == 400
    assert reply.document["reason"].startswith(RECORDED[component]["reason"])


@pytest.mark.row("R143")
def test_policymaker_reaches_no_virtual_host_that_it_may_not_enter(broker: Broker, api: Client) -> None:
    """RabbitMQ's words: without a host and a user a URI acts for the broker itself."""
    api.request("PUT", "vhosts/theirs", {})
    api.request("PUT", "users/clerk", {"password": "clerk", "tags": "policymaker"})
    api.request("PUT", "permissions/%2F/clerk", {"configure": "", "write": "", "read": ""})
    with client(broker, "clerk", "clerk") as clerk:
        for where in ("src_uri", "dest_uri"):
            for vhost in ("theirs", "nowhere"):
                found = answer(clerk, changed(**{where: f"amqp:///{vhost}"}))
                reason = f'Validation failed\n\nuser "clerk" may not connect to vhost "{vhost}"\n'
                assert found == {"status": 400, "reason": reason}
        assert answer(clerk, GOOD) == {"status": 201}
        refused = clerk.request("GET", "shovels")
        assert (refused.status, refused.document["reason"]) == (401, "Not monitor user")
    with client(broker, "clerk", "wrong") as nobody:
        assert nobody.request("PUT", "parameters/shovel/%2F/x", {"value": GOOD}).status == 401


@pytest.mark.row("R143")
@pytest.mark.parametrize(
    "uri",
    [
        f"http://me:{SECRET}@host",
        f"me:{SECRET}@host",
        f"amqp://me:{SECRET}@host:port",
        f"amqp://me:{SECRET}@host?heartbeat=x&password={SECRET}",
        f"amqp://me:{SECRET}@[::1",
        f"amqp//me:{SECRET}@host/vhost",
    ],
)
def test_refusal_shows_no_password(api: Client, uri: str) -> None:
    found = answer(api, changed(src_uri=uri))
    assert found["status"] == 400
    assert "not a valid URI" in found["reason"]
    assert SECRET not in found["reason"]


@pytest.mark.row("R143")
def test_definitions_with_a_wrong_shovel_are_refused(api: Client) -> None:
    parameter = {"vhost": "/", "component": "shovel", "name": "s", "value": changed(ack_mode="x")}
    reply = api.request("POST", "definitions", {"parameters": [parameter]})
    assert reply.status == 400
    assert "parameters[0] (s)" in reply.document["reason"]
    assert "ack-mode should be one of" in reply.document["reason"]
    assert api.get("parameters/shovel") == []


def test_rabbitmqctl_says_what_the_real_one_said(broker: Broker, api: Client) -> None:
    """T17. Of refused arguments the first sentence."""
    env = {**os.environ, "PILLARBOX_URL": broker.management_url}

    def tool(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "pillarbox", *words]
        return subprocess.run(command, env=env, capture_output=True, text=True, timeout=60)

    for ours, theirs in zip(said_by(tool, api, NODE_NAME), RECORDING["said"], strict=True):
        first = [(line, code, out, errors.split("\n\n")[0].strip().split("Arguments given")[0]) for
                 line, code, out, errors in (ours, theirs)]  # fmt: skip
        assert first[0] == first[1]


@pytest.mark.row("R128")
def test_command_line_lists_restarts_and_deletes_shovels(broker: Broker, api: Client) -> None:
    env = {**os.environ, "PILLARBOX_URL": broker.management_url}

    def does(*words: str) -> str:
        command = [sys.executable, "-m", "pillarbox", *words]
        done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=True)
        return done.stdout

    assert does("parameters", "set", "shovel", "s", json.dumps(GOOD)) == "parameter s is set\n"
    await_true(lambda: "running" in str(api.get("shovels")), 30, "it runs")
    (shown,) = json.loads(does("shovels", "list", "--format", "json"))
    assert json.loads(does("shovels", "show", "s", "--format", "json")) == shown == api.get("shovels")[0]
    assert "running" in does("shovels", "list")
    assert does("shovels", "restart", "s") == "shovel s begins anew\n"
    assert does("shovels", "delete", "s") == "shovel s is deleted\n"
    assert api.get("parameters/shovel") == []


def test_recording_is_of_these_values() -> None:
    assert set(VALUES) <= set(RECORDED)
    assert set(DIFFERENT) <= set(VALUES)
    assert Path(FOLDER, "validation.json").exists()
