"""The npm client `mqtt`, in a node process: the scenarios of tests/clients/node/mqtt.mjs."""

from __future__ import annotations

from tests.compare_messaging import node_tools
from tests.compare_messaging.case import Case
from tests.transcripts.registry import scenario

PROTOCOL = "mqtt"
PEER = "mosquitto"


def missing() -> str:
    return node_tools.missing("mqtt")


@scenario("R141")
def publish_and_subscribe(case: Case) -> None:
    node_tools.play(case, "mqtt.mjs", "publish_and_subscribe")


@scenario("R141")
def sessions_and_wills(case: Case) -> None:
    node_tools.play(case, "mqtt.mjs", "sessions_and_wills")
