"""One socket and its driver: back-pressure both ways, ends of all kinds. On asyncio's loop and on uvloop."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable

import pytest
from net_tools import LOOPS, Net, Peer, loop_name, run

from pillarbox.net import driver as driver_module
from pillarbox.net.driver import _is_loopback

Make = Callable[[], asyncio.AbstractEventLoop]
each_loop = pytest.mark.parametrize("make_loop", LOOPS, ids=loop_name)
MIB = 1 << 20


@each_loop
def test_bytes_go_in_and_come_out(make_loop: Make) -> None:
    async def main() -> None:
        net = Net(asyncio.get_running_loop())
        async with net.listening() as port:
            peer = await net.connect(port)
            await peer.send(b"hello")
            await peer.head.until(lambda: peer.head.received == b"hello")
            for part in (b"a", b"b", b"c"):
                peer.head.send(part)
            assert await peer.read(3) == b"abc"
            assert peer.head.writes == 1, "one write a turn, whatever there is"
            assert peer.head.loopback
            assert peer.head.peer.startswith("127.0.0.1:")
            peer.close()

    run(make_loop, main())


@each_loop
def test_head_that_wants_it_is_closed_after_its_last_words(make_loop: Make) -> None:
    async def main() -> None:
        net = Net(asyncio.get_running_loop())
        async with net.listening() as port:
            peer = await net.connect(port)
            await peer.send(b"!")
            assert await peer.read_to_end() == b"bye"
            await peer.head.until(lambda: any(event.startswith("closed") for event in peer.head.events))
            assert peer.driver not in net.ticker.drivers
            assert net.gone == [peer.driver]
            peer.close()

    run(make_loop, main())


@each_loop
def test_peer_that_goes_away_ends_its_connection(make_loop: Make) -> None:
    async def main() -> None:
        net = Net(asyncio.get_running_loop())
        async with net.listening() as port:
            peer = await net.connect(port)
            head = peer.head
            ticked_after = asyncio.Event()
            net.on_tick = lambda: head.events and ticked_after.set()  # type: ignore[assignment, return-value]
            peer.close()
            await ticked_after.wait()  # What it held can be given to others at once.
            assert head.events == ["closed: the peer closed the socket"]
            assert not net.ticker.drivers

    run(make_loop, main())


@each_loop
def test_peer_that_does_not_read_is_paused_and_goes_on_when_it_does(make_loop: Make) -> None:
    """Its consumers get nothing more; what it sends is read all the same, since it may be answers."""

    async def main() -> None:
        net = Net(asyncio.get_running_loop())
        async with net.listening() as port:
            peer = await net.connect(port, receive_bytes=1 << 16)
            head, sent = peer.head, 0
            while head.writable:
                head.send(b"x" * MIB)
                sent += MIB
                await net.next_tick()
                await asyncio.sleep(0)
            assert sent <= 16 * MIB
            await peer.send(b"ack")
            await head.until(lambda: head.received == b"ack")
            assert len(await peer.read(sent)) == sent
            await head.until(lambda: "unpause" in head.events)
            assert head.writable
            peer.close()

    run(make_loop, main())


@each_loop
def test_peer_that_lets_answers_pile_up_is_not_read_any_more(
    make_loop: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until it has taken them: the memory that a peer can make us spend is bounded."""
    monkeypatch.setattr(driver_module, "ANSWERS_BYTES_MAX", 2 * MIB)

    async def main() -> None:
        net = Net(asyncio.get_running_loop())
        async with net.listening() as port:
            peer = await net.connect(port, receive_bytes=1 << 16)
            head, sent = peer.head, 0
            while not peer.driver._stops & driver_module.STOP_ANSWERS:
                head.send(b"x" * MIB)
                sent += MIB
                await net.next_tick()
                await asyncio.sleep(0)
            assert sent <= driver_module.ANSWERS_BYTES_MAX + 8 * MIB
            await peer.send(b"more")
            for _ in range(20):
                await asyncio.sleep(0)
            assert head.received == b""
            assert len(await peer.read(sent)) == sent
            await head.until(lambda: head.received == b"more")
            peer.close()

    run(make_loop, main())


@each_loop
def test_peer_that_takes_no_answer_at_all_is_cut(make_loop: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its heartbeats would not be seen, and a socket with a window of nothing stays open for ever."""
    monkeypatch.setattr(driver_module, "ANSWERS_BYTES_MAX", 2 * MIB)

    async def main() -> None:
        net = Net(asyncio.get_running_loop())
        async with net.listening() as port:
            peer = await net.connect(port, receive_bytes=1 << 16)
            while not peer.driver._stops & driver_module.STOP_ANSWERS:
                peer.head.send(b"x" * MIB)
                await net.next_tick()
                await asyncio.sleep(0)
            await expect_cut(net, peer)

    run(make_loop, main())


@each_loop
def test_peer_that_takes_no_answer_while_its_next_request_waits_for_that_is_cut(make_loop: Make) -> None:
    """A head need not let as much pile up as the driver would."""

    async def main() -> None:
        net = Net(asyncio.get_running_loop())
        async with net.listening() as port:
            peer = await net.connect(port, receive_bytes=1 << 16)
            head = peer.head
            while head.writable:
                head.send(b"x" * MIB)
                await net.next_tick()
                await asyncio.sleep(0)
            head.waiting = True
            await peer.send(b"next")
            await head.until(lambda: head.received == b"next")
            assert not peer.driver._stops & driver_module.STOP_ANSWERS
            await expect_cut(net, peer)

    run(make_loop, main())


async def expect_cut(net: Net, peer: Peer) -> None:
    """When it has taken nothing for as long as it may, and not before."""
    transport = peer.driver._transport
    assert transport is not None
    taken = -1
    while taken != (taken := transport.get_write_buffer_size()):
        await asyncio.sleep(0)
    net.ticker.check_deadlines()
    net.clock.advance(driver_module.UNREAD_MS - 1)
    net.ticker.check_deadlines()
    await asyncio.sleep(0)
    assert not transport.is_closing()
    net.clock.advance(1)
    net.ticker.check_deadlines()
    await peer.head.until(lambda: any("closed" in event for event in peer.head.events))
    peer.close()


@each_loop
def test_head_that_stopped_its_consumers_for_this_turn_is_asked_again(make_loop: Make) -> None:
    """After so many bytes a head is not writable until they are written: nobody else would wake it."""

    async def main() -> None:
        net = Net(asyncio.get_running_loop())
        async with net.listening() as port:
            peer = await net.connect(port)
            peer.head.writable = False
            peer.head.send(b"much")
            await peer.head.until(lambda: "wake" in peer.head.events)
            await net.next_tick()
            peer.close()

    run(make_loop, main())


@each_loop
def test_one_socket_gets_its_share_of_a_turn_and_no_more(make_loop: Make) -> None:
    async def main() -> None:
        net = Net(asyncio.get_running_loop())
        async with net.listening() as port:
            greedy, modest = await net.connect(port), await net.connect(port)
            most = 0
            before = 0

            def look() -> None:
                nonlocal most, before
                most = max(most, len(greedy.head.received) - before)
                before = len(greedy.head.received)

            net.on_tick = look
            total = 8 * MIB
            sending = asyncio.ensure_future(greedy.send(b"x" * total))
            await greedy.head.until(lambda: len(greedy.head.received) > MIB)
            await modest.send(b"me too")
            await modest.head.until(lambda: modest.head.received == b"me too")
            await greedy.head.until(lambda: len(greedy.head.received) == total)
            await sending
            assert most <= driver_module.TURN_BYTES_MAX + 256 * 1024, "a share and one read of the loop"
            for peer in (greedy, modest):
                peer.close()

    run(make_loop, main())


@each_loop
def test_held_publisher_is_not_read_until_it_is_let_go(make_loop: Make) -> None:
    """And while it is held its silence is not held against it."""

    async def main() -> None:
        net = Net(asyncio.get_running_loop())
        async with net.listening() as port:
            peer = await net.connect(port)
            peer.driver.hold(True)
            peer.driver.hold(True)
            await peer.send(b"publish")
            for _ in range(20):
                await asyncio.sleep(0)
            assert peer.head.received == b""
            net.ticker.check_deadlines()
            assert peer.head.events[0] == "touch"
            peer.driver.hold(False)
            await peer.head.until(lambda: peer.head.received == b"publish")
            peer.head.events.clear()
            net.ticker.check_deadlines()
            assert "touch" not in peer.head.events
            peer.close()

    run(make_loop, main())


@each_loop
def test_reasons_to_stop_reading_add_up(make_loop: Make) -> None:
    """A socket is read again when the last of them is gone."""

    async def main() -> None:
        net = Net(asyncio.get_running_loop())
        async with net.listening() as port:
            peer = await net.connect(port)
            driver = peer.driver
            driver.hold(True)
            driver._stop(driver_module.STOP_TURN)
            driver.turn_ended()
            await peer.send(b"x")
            for _ in range(20):
                await asyncio.sleep(0)
            assert peer.head.received == b""
            driver.hold(False)
            await peer.head.until(lambda: peer.head.received == b"x")
            peer.close()

    run(make_loop, main())


@each_loop
def test_one_connection_too_many_is_cut_at_once(make_loop: Make) -> None:
    async def main() -> None:
        net = Net(asyncio.get_running_loop())
        net.refuse = True
        async with net.listening() as port:
            peer = await net.connect(port)
            with contextlib.suppress(ConnectionResetError):
                assert await peer.read_to_end() == b""
            while not net.gone:
                await asyncio.sleep(0)
            assert net.heads == []
            peer.close()

    run(make_loop, main())


@each_loop
def test_peer_that_does_not_take_the_last_words_is_cut_in_the_end(make_loop: Make) -> None:
    async def main() -> None:
        net = Net(asyncio.get_running_loop())
        async with net.listening() as port:
            peer = await net.connect(port, receive_bytes=1 << 16)
            peer.head.send(b"x" * 8 * MIB)
            peer.head.want_close = True
            await net.next_tick()
            await asyncio.sleep(0)
            net.ticker.check_deadlines()
            net.clock.advance(driver_module.CLOSE_WAIT_MS - 1)
            net.ticker.check_deadlines()
            for _ in range(5):
                await asyncio.sleep(0)
            assert not net.gone
            net.clock.advance(1)
            net.ticker.check_deadlines()
            while not net.gone:
                await asyncio.sleep(0)
            peer.close()

    run(make_loop, main())


@each_loop
def test_fault_of_ours_ends_the_connection_that_met_it_and_no_other(
    make_loop: Make, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        faults: list[object] = []
        loop.set_exception_handler(lambda _, context: faults.append(context.get("exception")))
        net = Net(loop)
        async with net.listening() as port:
            bad, good = await net.connect(port), await net.connect(port)
            await bad.send(b"?")
            await bad.head.until(lambda: any(event.startswith("closed") for event in bad.head.events))
            await good.send(b"still here")
            await good.head.until(lambda: good.head.received == b"still here")
            good.head.send(b"yes")
            assert await good.read(3) == b"yes"
            assert [type(fault) for fault in faults] == [ValueError]
            for peer in (bad, good):
                peer.close()

    with caplog.at_level(logging.CRITICAL):
        run(make_loop, main())


@each_loop
def test_output_after_the_socket_is_gone_goes_nowhere(make_loop: Make) -> None:
    async def main() -> None:
        net = Net(asyncio.get_running_loop())
        async with net.listening() as port:
            peer = await net.connect(port)
            peer.head.send(b"late")
            peer.driver.abort()
            while not net.gone:
                await asyncio.sleep(0)
            peer.driver.flush()
            peer.driver.hold(True)
            peer.driver.hold(False)
            peer.driver.housekeeping(0)
            peer.driver.abort()
            peer.close()

    run(make_loop, main())


@pytest.mark.row("R9")
@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("", True),
        ("10.0.0.1", False),
        ("::ffff:10.0.0.1", False),
        ("fe80::1", False),
        ("128.0.0.1", False),
    ],
)
def test_loopback_addresses(host: str, loopback: bool) -> None:
    """An empty host is a UNIX socket. Only loopback peers may log in as guest."""
    assert _is_loopback(host) is loopback
