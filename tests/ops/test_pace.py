"""Long answers share the loop: one slice in a pass, in turn."""

from __future__ import annotations

import asyncio
from itertools import pairwise

from pillarbox.ops.pace import Pace


def test_slices_of_several_take_turns_and_never_share_a_pass_of_the_loop() -> None:
    """Ten answers at once hold up a message no longer than one does."""

    async def main() -> list[tuple[int, str]]:
        loop, pace = asyncio.get_running_loop(), Pace()
        passes = 0
        done: list[tuple[int, str]] = []

        def count() -> None:
            nonlocal passes
            passes += 1
            if len(done) < 9:
                loop.call_soon(count)

        async def work(name: str) -> None:
            for _ in range(3):
                await pace.begin()
                done.append((passes, name))

        count()
        await asyncio.gather(*map(work, "abc"))
        return done

    done = asyncio.run(main())
    assert [name for _, name in done] == list("abcabcabc")
    times = [when for when, _ in done]
    assert all(later - earlier >= 2 for earlier, later in pairwise(times))


def test_who_was_cancelled_while_it_waited_holds_nobody_up() -> None:
    async def main() -> None:
        pace = Pace()
        waiting = [asyncio.ensure_future(pace.begin()) for _ in range(3)]
        await asyncio.sleep(0)
        waiting[0].cancel()
        waiting[1].cancel()
        await asyncio.wait_for(waiting[2], 5)
        await asyncio.wait_for(pace.begin(), 5)

    asyncio.run(main())
