"""The shovels of a broker: one worker for each parameter of the component `shovel` (R143).

They begin when the broker has opened its ports, and end when it stops. What they need is imported with the
first of them. Whoever may set parameters of a virtual host may move all messages in it: a URI without a host
and a user acts for the broker itself, as in RabbitMQ, in virtual hosts that whoever sets it may enter.

Source: RabbitMQ, "Dynamic Shovels"; texts measured on 3.10.8.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from pillarbox.broker.bearer import Bearer, scopes_of
from pillarbox.broker.client import NODE_NAME
from pillarbox.errors import BrokerError, Reason

if TYPE_CHECKING:
    from pillarbox.broker.auth import Principal
    from pillarbox.broker.core import Core
    from pillarbox.broker.vhost import VHost
    from pillarbox.ops.shovel.end import Network
    from pillarbox.ops.shovel.uri import Uri
    from pillarbox.ops.shovel.worker import Context, Worker

COMPONENT = "shovel"

ITSELF = Bearer(
    "rmq-shovel",
    ("impersonator",),
    scopes_of(("configure:*/*", "write:*/*", "read:*/*")),
    1 << 62,
)
"""For whom a shovel acts on this broker where its URI names nobody. Messages keep their `user_id`."""


class Shovels:
    """See the module. `begin` starts a turn of the broker; `now_ms` says what time it is, at any time."""

    def __init__(
        self, core: Core, begin: Callable[[], None], now_ms: Callable[[], int], network: Network
    ) -> None:
        self._core = core
        self._begin = begin
        self._now_ms = now_ms
        self._network = network
        self._started = False
        self._ending: set[asyncio.Task[None]] = set()
        self.workers: dict[tuple[str, str], Worker] = {}
        """By virtual host and name."""
        core.parameters.keep(COMPONENT, self.check, self._changed)

    def __repr__(self) -> str:
        return f"<Shovels {len(self.workers)}>"

    def start(self) -> None:
        """Begin with those that are defined."""
        self._started = True
        for vhost, name, value in self._core.parameters.of(COMPONENT):
            if found := _problems(name, value):
                # As a release with other rules has kept it.
                self._core.warn(f"shovel '{name}' in vhost '{vhost}' is left out: {'; '.join(found)}")
            else:
                self._changed(vhost, name, value)

    async def stop(self) -> None:
        """End all."""
        self._started = False
        workers, self.workers = self.workers, {}
        ends = [worker.stop() for worker in workers.values()]
        await asyncio.gather(*ends, *self._ending, return_exceptions=True)

    def restart(self, vhost: str, name: str) -> bool:
        """Let one begin anew; False: there is none."""
        if (vhost, name) not in self.workers:
            return False
        for owner, known, value in self._core.parameters.of(COMPONENT):
            if (owner, known) == (vhost, name):
                self._changed(vhost, name, value)
        return True

    def check(self, vhost: VHost, name: str, value: Any, user: Principal | None) -> None:
        """Raise PRECONDITION_FAILED for everything that is wrong with a parameter."""
        from pillarbox.ops.shovel.definition import definition_of

        found = _problems(name, value)
        if not found and user is not None:
            definition = definition_of(value)
            for side in (definition.source, definition.destination):
                for entered in side.vhosts_here:
                    if not self._may_enter(user, entered or vhost.name):
                        found.append(f'user "{user.name}" may not connect to vhost "{entered or vhost.name}"')
        if found:
            text = "".join(f"{each}\n" for each in found)
            raise BrokerError(Reason.PRECONDITION_FAILED, f"Validation failed\n\n{text}")

    def _may_enter(self, user: Principal, vhost: str) -> bool:
        return vhost in self._core.vhosts and self._core.users.may_enter(user, vhost)

    def _changed(self, vhost: str, name: str, value: Any) -> None:
        """A parameter was set, or (None) is gone."""
        if not self._started:
            return
        before = self.workers.pop((vhost, name), None)
        if value is None:
            if before is not None:
                ending = asyncio.get_running_loop().create_task(before.stop())
                self._ending.add(ending)
                ending.add_done_callback(self._ending.discard)
            return
        from pillarbox.ops.shovel.definition import definition_of
        from pillarbox.ops.shovel.worker import Worker

        worker = Worker(
            vhost, name, definition_of(value), self._context, lambda: self._finished(vhost, name, worker)
        )
        self.workers[vhost, name] = worker
        worker.start(before)

    def _finished(self, vhost: str, name: str, worker: Worker) -> None:
        """One has moved what it was to move: it goes, and its parameter with it."""
        self._begin()
        owner = self._core.vhosts.get(vhost)
        if owner is not None and self.workers.get((vhost, name)) is worker:
            self._core.parameters.remove(owner, COMPONENT, name)

    @property
    def _context(self) -> Context:
        from pillarbox.ops.shovel.worker import Context

        core = self._core

        def cluster_name() -> str:
            return str(core.global_parameters.get("cluster_name", NODE_NAME))

        return Context(self._network, self._who, self._now_ms, cluster_name)

    async def _who(self, uri: Uri) -> Principal | None:
        if not uri.user:
            return ITSELF
        from pillarbox.ops.management.deciding import Deciding

        users = self._core.users
        self._begin()
        # Somebody outside may have to be asked (R8).
        return await Deciding(self._core, self._begin).do(
            lambda: users.authenticate(uri.user, uri.password.encode())
        )


def _problems(name: str, value: Any) -> list[str]:
    from pillarbox.ops.shovel.definition import problems

    return list(problems(name, value))
