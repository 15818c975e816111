"""Requests whose user somebody outside decides about (R8): done again when there is an answer.

Everything else is decided at once. What runs to completion is done again as a whole; a handler that waits for
something on its way is begun anew, since it asks before it changes anything. Lists leave out what nobody has
been asked about, so what they depend on is asked before they begin.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, TypeVar

from pillarbox.broker.outside import QUESTIONS_MAX, Answer, Undecided, Vouched
from pillarbox.ops.management.request import MONITORS, HttpError

if TYPE_CHECKING:
    from pillarbox.broker.auth import Principal
    from pillarbox.broker.core import Core

Result = TypeVar("Result")


class Deciding:
    """See the module. `begin` starts a turn of the broker."""

    def __init__(self, core: Core, begin: Callable[[], None]) -> None:
        self._core = core
        self._outside = core.users.outside
        self._begin = begin

    async def do(self, act: Callable[[], Result]) -> Result:
        """Do what does not wait itself, as often as there is something to ask."""
        try:
            return act()
        except Undecided as undecided:
            first = undecided
        done: asyncio.Future[Result] = asyncio.get_running_loop().create_future()

        def again() -> None:
            if done.done():
                return
            try:
                done.set_result(act())
            except Undecided as undecided:
                self._outside.when_answered(undecided, again)
            except BaseException as error:
                done.set_exception(error)

        self._outside.when_answered(first, again)
        try:
            return await done
        finally:
            self._begin()

    async def run(self, handle: Callable[[], Any], user: Principal) -> Any:
        """The result of a handler, whether it waits for something or not."""
        for _ in range(QUESTIONS_MAX):
            found = await self.do(handle)
            if not isinstance(found, Coroutine):
                return found
            try:
                return await found
            except Undecided as undecided:
                if not isinstance(user, Vouched):
                    raise
                user.remember(undecided.question, await self._ask(undecided))
                self._begin()
        raise HttpError(503, "service_unavailable", "somebody else would have to be asked too much")

    async def _ask(self, undecided: Undecided) -> Answer:
        answered: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()

        def take() -> None:
            if not answered.done():
                answered.set_result(self._outside.answer(undecided.question, undecided.backend))

        self._outside.when_answered(undecided, take)
        return await answered

    def look_around(self, user: Principal) -> None:
        """Know which virtual hosts a user may see, before a list begins that goes through all of them."""
        if isinstance(user, Vouched) and not MONITORS.intersection(user.tags):
            for vhost in self._core.vhosts:
                self._core.users.may_enter(user, vhost)
