"""What is too long for a turn: done in slices while others are served, answered when it is stored."""

from __future__ import annotations

import asyncio
from collections.abc import Generator

import pytest

from pillarbox import Broker
from pillarbox.broker.administration import put_global_parameter
from pillarbox.broker.core import Core
from pillarbox.errors import BrokerError
from pillarbox.ops import pace
from pillarbox.ops.management.work import Work
from pillarbox.ops.pace import Pace
from pillarbox.testing.memory_journal import MemoryJournal
from tests.management.http import Client


@pytest.fixture(autouse=True)
def slices_of_one_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pace, "SLICE_NS", 0)


class Desk:
    """A core on a journal that answers when it is told to, and what is written down of its turns."""

    def __init__(self) -> None:
        self.journal = MemoryJournal()
        self.core = Core(self.journal, now_ms=1, random=lambda count: bytes(count), wake=lambda: None)
        self.journal.attach(self.core)
        self.core.add_vhost("/")
        self.turn()
        self.journal.sync()
        self.log: list[str] = []

    def begin(self) -> None:
        self.log.append("turn")

    def turn(self) -> None:
        self.core.tick(1)


def steps(desk: Desk, count: int) -> Generator[None, None, str]:
    for number in range(count):
        desk.log.append(f"step {number}")
        put_global_parameter(desk.core, f"p{number}", number)
        yield
    return "result"


async def others(desk: Desk) -> None:
    """Somebody else on the loop: it ends turns, and syncs when there is nothing more to do."""
    while True:
        await asyncio.sleep(0)
        if desk.log[-1:] != ["other"]:
            desk.log.append("other")
            desk.turn()


def test_slices_are_turns_and_others_come_between_them() -> None:
    async def main() -> list[str]:
        desk = Desk()
        work = Work(desk.core, desk.begin, Pace())
        other = asyncio.ensure_future(others(desk))
        doing = asyncio.ensure_future(work.in_slices(steps(desk, 3)))
        while "step 2" not in desk.log:
            await asyncio.sleep(0)
        for _ in range(20):
            await asyncio.sleep(0)
        assert not doing.done(), "nothing is stored yet"
        desk.journal.sync()
        assert await asyncio.wait_for(doing, 5) == "result"
        other.cancel()
        return desk.log

    log = asyncio.run(main())
    done = [entry for entry in log if entry.startswith("step")]
    assert done == ["step 0", "step 1", "step 2"]
    for entry in done:
        position = log.index(entry)
        assert log[position - 1] == "turn"
        assert "other" in log[position : position + 3]


def test_what_raises_ends_the_work_and_what_was_done_stays() -> None:
    def failing(desk: Desk) -> Generator[None, None, None]:
        yield from steps(desk, 2)
        raise ValueError("no")

    async def main() -> Desk:
        desk = Desk()
        with pytest.raises(ValueError, match="no"):
            await Work(desk.core, desk.begin, Pace()).in_slices(failing(desk))
        return desk

    assert list(asyncio.run(main()).core.global_parameters) == ["p0", "p1"]


def test_work_that_cannot_be_stored_is_refused_although_it_was_done() -> None:
    """The journal fails after the last step: nobody is told that it went well."""

    async def main() -> None:
        desk = Desk()
        doing = asyncio.ensure_future(Work(desk.core, desk.begin, Pace()).in_slices(steps(desk, 1)))
        while desk.core.confirms.waiting == 0:
            await asyncio.sleep(0)
        desk.turn()
        desk.journal.fail("the disk is gone")
        with pytest.raises(BrokerError, match="the disk is gone"):
            await asyncio.wait_for(doing, 5)

    asyncio.run(main())


def test_nothing_to_store_is_not_waited_for() -> None:
    async def main() -> None:
        desk = Desk()
        assert await asyncio.wait_for(Work(desk.core, desk.begin, Pace()).in_slices(steps(desk, 0)), 5)

    asyncio.run(main())


# --- over HTTP ---------------------------------------------------------------------------------------------


@pytest.mark.row("R116")
def test_policy_is_answered_when_all_queues_have_it(
    broker: Broker, api: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pillarbox.broker.vhost.GOVERNED_AT_ONCE", 1)

    def declare(core: Core) -> None:
        for number in range(30):
            core.vhosts["/"].declare_queue(None, f"q{number}")

    def limited(core: Core) -> int:
        return sum([queue.limits is not None for queue in core.vhosts["/"].queues.values()])

    broker.call(lambda server: declare(server.core))
    body = {"pattern": "", "definition": {"max-length": 5}}
    assert api.request("PUT", "policies/%2F/p", body).status == 201
    assert broker.call(lambda server: limited(server.core)) == 30
    assert api.request("DELETE", "policies/%2F/p").status == 204
    assert broker.call(lambda server: limited(server.core)) == 0


@pytest.mark.row("R115")
def test_virtual_host_is_gone_when_its_removal_is_answered(
    broker: Broker, api: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pillarbox.broker.vhost.REMOVED_AT_ONCE", 1)
    assert api.request("PUT", "vhosts/v", {}).status == 201
    for number in range(5):
        assert api.request("PUT", f"queues/v/q{number}", {"durable": True}).status == 201
    assert api.request("DELETE", "vhosts/v").status == 204
    assert [one["name"] for one in api.get("vhosts")] == ["/"]
    assert api.request("PUT", "vhosts/v", {}).status == 201
    assert api.get("queues/v") == []


@pytest.mark.row("R98", "R116")
def test_import_in_slices_has_everything_when_it_is_answered(broker: Broker, api: Client) -> None:
    queues = [{"name": f"q{number}", "vhost": "/", "durable": True} for number in range(50)]
    assert api.request("POST", "definitions", {"queues": queues}).status == 204
    assert len(api.get("queues")) == 50
    reply = api.request(
        "POST", "definitions", {"queues": [{"name": "more", "vhost": "/"}, {"vhost": "/"}, {}]}
    )
    assert (reply.status, reply.document["reason"]) == (400, "queues[1]: 'name' is missing")
    assert len(api.get("queues")) == 51, "what stands before it was added"
    halves = b'{"queues": [{"name": "half", "vhost": "/"}, {"name": "broken"'
    assert api.request("POST", "definitions", halves).status == 400
    assert (
        api.request("POST", "definitions", b"[]").document["reason"]
        == "the definitions must be a JSON object"
    )
    assert len(api.get("queues")) == 51
