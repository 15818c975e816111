"""Asks the backends: each question in a task of its own, so many at a time, with one time limit for all of
it.

A question that waits for its turn waits within its limit, so a backend that answers slowly or not at all
costs its own users that time and nobody else anything. An error is told to the operator, once until the
backend has answered again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Protocol

from pillarbox.broker.outside import Answer, Outside, Question

AT_A_TIME = 64
"""Questions that one backend is asked at a time."""


class Backend(Protocol):
    """Somebody who can be asked. `timeout_s`: how long an answer may take, all in all."""

    timeout_s: float

    async def answer(self, question: Question) -> Answer:
        """Ask. Raises BackendError or OSError if that fails."""
        ...

    async def close(self) -> None:
        """Let go of connections."""
        ...


class BackendError(Exception):
    """There is no answer. `shown`: what clients hear of that; the text is the operator's."""

    def __init__(self, text: str, shown: str) -> None:
        super().__init__(text)
        self.shown = shown


class Asker:
    """See the module. `begin` starts a turn of the broker; `warn` takes a sentence for the operator."""

    def __init__(
        self,
        backends: Mapping[str, Backend],
        outside: Outside,
        *,
        begin: Callable[[], None],
        warn: Callable[[str], None],
    ) -> None:
        self._backends = backends
        self._outside = outside
        self._begin = begin
        self._warn = warn
        self._room = {name: asyncio.Semaphore(AT_A_TIME) for name in backends}
        self._failing: set[str] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        outside.send = self._send

    def __repr__(self) -> str:
        return f"<Asker {', '.join(self._backends)} asking={len(self._tasks)}>"

    def _send(self, question: Question) -> None:
        task = asyncio.get_running_loop().create_task(self._ask(question))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _ask(self, question: Question) -> None:
        name = question.backend
        backend = self._backends[name]
        try:
            async with asyncio.timeout(backend.timeout_s), self._room[name]:
                answer = await backend.answer(question)
            self._failing.discard(name)
        except TimeoutError:
            answer = self._failed(name, f"no answer within {backend.timeout_s:g} s", "timeout")
        except BackendError as error:
            answer = self._failed(name, str(error), error.shown)
        except OSError as error:
            answer = self._failed(name, error.strerror or str(error), "failed_connect")
        except Exception as error:
            # A defect here must not leave a client waiting for ever.
            answer = self._failed(name, repr(error), "internal_error")
        self._begin()
        self._outside.answered(question, answer)

    def _failed(self, name: str, text: str, shown: str) -> Answer:
        if name not in self._failing:
            self._failing.add(name)
            self._warn(
                f"auth backend {name!r} fails: {text}. Who needs it is refused; more of this is not told "
                "until it has answered again"
            )
        return Answer(False, error=shown)

    async def stop(self) -> None:
        """Ask no more. Questions under way stay open: who had them is gone."""
        self._outside.send = None
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for backend in self._backends.values():
            await backend.close()
