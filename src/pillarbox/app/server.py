"""A broker inside an event loop: configuration → engine → core → ports → graceful stop.

Not here: what any of the parts does, the process around it (`process`).
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from pillarbox.app.binding import Addresses, Binder
from pillarbox.app.client_ports import ClientPorts
from pillarbox.app.clients import Clients
from pillarbox.app.logins import Logins
from pillarbox.app.operator_ports import OperatorPorts
from pillarbox.broker.auth import Permission
from pillarbox.broker.core import Core, CoreSnapshot
from pillarbox.clock import Clock, SystemClock
from pillarbox.config import Config
from pillarbox.engine.base import Journal, JournalListener, Recovery, Snapshot
from pillarbox.engine.logs import Logs
from pillarbox.errors import BrokerError, StartupError
from pillarbox.net.outgoing import Dialer
from pillarbox.net.ticker import DEFECT as CONNECTION_DEFECT
from pillarbox.net.ticker import Ticker
from pillarbox.ops.resources import Watch, machine_bytes, watermark_bytes
from pillarbox.ops.shovel.shovels import Shovels
from pillarbox.profiles import PROFILES, release

if TYPE_CHECKING:
    from pillarbox.broker.dialects import Dialects
    from pillarbox.broker.streams import StreamCodec
    from pillarbox.ops.management.samples import Sampler
    from pillarbox.protocols.registry import Spoken

log = logging.getLogger("pillarbox")

UNSYNCED_BYTES_MAX = 64 << 20
"""Bytes on their way to the disk at which publishers are not read until half of it is there: more would
only grow the memory, since the disk is what limits them then."""

STOP_WAIT_S = 5.0
"""How long clients may take to answer the close at a graceful stop."""

DEFECT = "the broker has a defect, see its log"


class Engine(Journal, Protocol):
    """What the composition root needs of an engine beyond the journal."""

    logs: Logs

    def open(self) -> Recovery: ...

    def attach(self, listener: JournalListener) -> None: ...

    def close(self, snapshot: Snapshot | None = None) -> None: ...


class Server:
    """A broker that runs in the current event loop. `start`, then `stop`; not to be started again.

    `process_bytes` says how much memory the process takes, for the memory alarm. Within somebody else's
    program that is not the broker's doing, and nothing but messages counts. `stop_wait_s` is how long clients
    may take to answer the close at a stop.
    """

    def __init__(
        self,
        config: Config,
        *,
        clock: Clock | None = None,
        process_bytes: Callable[[], int] = lambda: 0,
        stop_wait_s: float = STOP_WAIT_S,
    ) -> None:
        self.config = config
        self.clock = clock or SystemClock()
        self.core: Core
        self.ticker: Ticker
        self.watch: Watch
        self.clients: Clients
        self.shovels: Shovels
        self._engine: Engine
        self._client_ports: ClientPorts
        self._operator_ports: OperatorPorts
        self._logins: Logins
        self._binder = Binder(config)
        self._process_bytes = process_bytes
        self._stop_wait_s = stop_wait_s
        self._held = False
        self._restored = False
        """The core has all that the engine found."""

    # --- start ---------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Open the data folder and listen. Raises StartupError with one sentence for the operator."""
        loop = asyncio.get_running_loop()
        self._engine = self._make_engine(loop)
        recovery = self._open_engine()
        try:
            self._make_core(loop, recovery)
            await self._logins.start()
            await self._client_ports.listen()
            await self._operator_ports.listen(self._client_ports, self.watch, self.shovels)
            self.shovels.start()
        except BaseException:
            await self._abandon()
            raise
        self.ticker.start()

    def _make_engine(self, loop: asyncio.AbstractEventLoop) -> Engine:
        from pillarbox.engine.schedulers import LoopScheduler

        scheduler = LoopScheduler(loop)
        if self.config.memory:
            from pillarbox.engine.memory import MemoryEngine

            return MemoryEngine(scheduler)
        from pillarbox.engine.local import LocalEngine
        from pillarbox.store.files import DiskFiles

        if self.config.data.startswith("~"):
            raise StartupError(
                f"there is no home folder for {self.config.data}: name a data folder (--data, PILLARBOX_DATA)"
            )
        return LocalEngine(self.config.data, DiskFiles(), scheduler, durability=self.config.durability)

    def _open_engine(self) -> Recovery:
        from pillarbox.store.files import StoreError

        try:
            recovery = self._engine.open()
        except StoreError as error:
            raise StartupError(str(error)) from None
        except OSError as error:
            reason = error.strerror or str(error)
            raise StartupError(f"cannot use the data folder {self.config.data}: {reason}") from None
        for warning in recovery.warnings:
            log.warning("%s", warning)
        return recovery

    def _make_core(self, loop: asyncio.AbstractEventLoop, recovery: Recovery) -> None:
        from pillarbox.protocols import registry
        from pillarbox.protocols.amqp091.deaths import dead_letter, dead_letter_anew
        from pillarbox.protocols.amqp091.delays import TIMETABLE
        from pillarbox.protocols.amqp091.publishing import ORIGIN, OWN_DEATHS

        config = self.config
        core = self.core = Core(
            self._engine,
            now_ms=self.clock.now_ms(),
            random=os.urandom,
            wake=lambda: self.ticker.again(),
            warn=lambda sentence: log.warning("%s", sentence),
            report=lambda error: log.error(CONNECTION_DEFECT, exc_info=error),
            journaled=not config.memory,
            memory_budget=config.memory_budget,
            arrived_ms=self.clock.now_ms_up,
            ack_timeout_ms=config.consumer_timeout_s * 1000,
            profile=PROFILES[release(config.profile, "rabbitmq")],
            logs=self._engine.logs,
        )
        self.watch = Watch(
            core,
            memory_max=watermark_bytes(config.memory_high_watermark, machine_bytes()),
            process=self._process_bytes,
            folder=None if config.memory else config.data,
            disk_free_min=config.disk_free_min,
        )
        self._engine.attach(core)
        core.dead_letters.writers |= {ORIGIN: dead_letter, OWN_DEATHS: dead_letter_anew}
        core.schedules.timetables |= {ORIGIN: TIMETABLE, OWN_DEATHS: TIMETABLE}
        core.dialects.common = registry.COMMON
        core.dialects.find = registry.dialect
        core.advisories.find_forms = registry.advisory_forms
        core.streams.make_codec = lambda: _record_codec(core.dialects)
        self.ticker = Ticker(
            loop,
            self.clock,
            set_time=core.set_time,
            tick=core.tick,
            after=self._after_turn,
            # The engine hears of it as well: a checkpoint of a core in which something may be missing would
            # lose that for good.
            failed=lambda: core.fail(DEFECT),
        )
        self._make_surroundings(core, self.ticker)
        try:
            core.restore(recovery)
        except BrokerError as error:
            raise StartupError(error.text) from None
        self._restored = True
        if not core.vhosts:
            core.add_vhost(config.default_vhost)
            core.add_user(config.default_user, config.default_pass, config.default_user_tags)
            core.set_permission(
                Permission(
                    config.default_user,
                    config.default_vhost,
                    config.default_permissions_configure,
                    config.default_permissions_write,
                    config.default_permissions_read,
                )
            )
        if config.event_exchange:
            core.events.begin(config.default_vhost)
        if config.load_definitions:
            self._load_definitions(config.load_definitions)
        self.ticker.begin()

    def _make_surroundings(self, core: Core, ticker: Ticker) -> None:
        """Everything that lets others reach the core."""
        config, clock = self.config, self.clock
        self.clients = Clients(config, ticker, clock)
        self._client_ports = ClientPorts(config, core, ticker, clock, self.clients, self._binder)
        self._operator_ports = OperatorPorts(config, core, ticker, clock, self._binder)
        self._logins = Logins(config, core, ticker.begin)
        dialer = Dialer(self._client_ports.make_local_driver)
        self.shovels = Shovels(core, ticker.begin, clock.now_ms, dialer)

    def _load_definitions(self, path: str) -> None:
        import json

        from pillarbox.broker.import_definitions import DefinitionsError, import_definitions

        try:
            import_definitions(self.core, json.loads(Path(path).read_bytes()))
        except (OSError, ValueError, DefinitionsError) as error:
            reason = (isinstance(error, OSError) and error.strerror) or str(error)
            raise StartupError(f"cannot load the definitions in {path}: {reason}") from None

    # --- while it runs -------------------------------------------------------------------------------

    @property
    def spoken(self) -> Mapping[str, Spoken]:
        """Protocols for which a port is open."""
        return self._client_ports.spoken

    @property
    def addresses(self) -> dict[str, Addresses]:
        """Of the ports for clients, by name: the protocol's, with an `s` at the end over TLS, or its own."""
        return self._client_ports.addresses

    @property
    def operator_addresses(self) -> dict[str, Addresses]:
        """Of the HTTP ports, by the names that the startup line has."""
        return self._operator_ports.addresses

    @property
    def sampler(self) -> Sampler | None:
        """Statistics over time, where there is a port that shows them."""
        return self._operator_ports.sampler

    @property
    def amqp_port(self) -> int:
        """The port for AMQP 0-9-1."""
        return self.addresses["amqp"][0][1]

    def _after_turn(self, now_ms: int) -> None:
        """Hold publishers up while the disk is behind or there is an alarm, and let them go on."""
        watch = self.watch
        if now_ms >= watch.next_ms or self.core.changes.resident_bytes > watch.next_bytes:
            watch.look(now_ms)
        if not (self._held or self._engine.unsynced_bytes or self.core.alarm):
            return
        behind = (
            self._engine.unsynced_bytes > (UNSYNCED_BYTES_MAX >> self._held) or self._engine.checkpoint_behind
        )
        hold = self.core.held = behind or self.core.alarm is not None
        if hold:
            self.clients.hold()
        elif self._held:
            self.clients.release()
        self._held = hold

    # --- stop ----------------------------------------------------------------------------------------

    async def stop(self) -> None:
        """Tell clients, let what was accepted reach the disk, write a checkpoint, unlock the folder."""
        await self.shovels.stop()
        self._accept_nobody()
        await self.clients.shut_down(
            "Node was put into maintenance mode", self.ticker.begin, self._stop_wait_s
        )
        await self._abandon()

    def _accept_nobody(self) -> None:
        self._binder.close()
        self.clients.lobby.close()

    async def _abandon(self) -> None:
        """End what was begun, also by a start that failed."""
        if hasattr(self, "shovels"):
            self._accept_nobody()
            await self._operator_ports.stop()
            await self._logins.stop()
        if hasattr(self, "ticker"):
            self.ticker.stop()
        snapshot = None
        # A core that has not got all would leave the rest out of its last checkpoint, for good.
        if self._restored:
            self.core.flush()
            snapshot = CoreSnapshot(self.core)
        self._engine.close(snapshot)


def _record_codec(dialects: Dialects) -> StreamCodec:
    from pillarbox.protocols.amqp091.records import RecordCodec

    return RecordCodec(dialects)
