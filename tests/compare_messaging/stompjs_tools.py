"""The npm client `@stomp/stompjs`: the scenarios of tests/clients/node/stomp.mjs, which both peers see."""

from __future__ import annotations

from tests.compare_messaging import node_tools
from tests.compare_messaging.case import Case
from tests.transcripts.registry import scenario


def missing() -> str:
    return node_tools.missing("@stomp/stompjs")


@scenario("R142", "A1")
def publish_and_subscribe(case: Case) -> None:
    node_tools.play(case, "stomp.mjs", "publish_and_subscribe")


@scenario("R142", "A1")
def binary_bodies(case: Case) -> None:
    node_tools.play(case, "stomp.mjs", "binary_bodies")


@scenario("R142", "A3")
def acknowledged_one_by_one(case: Case) -> None:
    node_tools.play(case, "stomp.mjs", "acknowledged_one_by_one")


@scenario("R142", "A5")
def transactions(case: Case) -> None:
    node_tools.play(case, "stomp.mjs", "transactions")


@scenario("R142", "A20", "A24")
def topics(case: Case) -> None:
    node_tools.play(case, "stomp.mjs", "topics")


@scenario("R142")
def comes_back_by_itself(case: Case) -> None:
    node_tools.play(case, "stomp.mjs", "comes_back_by_itself")


@scenario("R142", "A12")
def heart_beats(case: Case) -> None:
    node_tools.play(case, "stomp.mjs", "heart_beats")


@scenario("R142", "A10")
def what_is_wrong_is_an_error(case: Case) -> None:
    node_tools.play(case, "stomp.mjs", "what_is_wrong_is_an_error")
