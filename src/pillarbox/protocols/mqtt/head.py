"""What all MQTT connections of a broker share: settings, sessions, retained messages, wills.

Made when the first MQTT client connects. Not here: bytes (`connection`), what is kept of a client
(`sessions`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import msgspec

from pillarbox.broker.promises import Promises
from pillarbox.protocols.mqtt.connection import Connection
from pillarbox.protocols.mqtt.retained import RetainedMessages
from pillarbox.protocols.mqtt.sessions import Sessions
from pillarbox.protocols.mqtt.sys_topics import SysTopics, Traffic
from pillarbox.protocols.mqtt.wills import Wills
from pillarbox.protocols.strangers import anonymous_user

if TYPE_CHECKING:
    from pillarbox.broker.chores import Parts
    from pillarbox.broker.core import Core
    from pillarbox.broker.session import Session
    from pillarbox.config import Config
    from pillarbox.protocols.mqtt.packets import Will
    from pillarbox.protocols.mqtt.sessions import ClientSession


SESSIONS_AT_ONCE: Final = 100
"""Sessions that end in one part: about a millisecond's work."""


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What an operator may set."""

    vhost: str = "/"
    """Of clients that name none."""
    anonymous: str = ""
    """The user as whom clients act that do not log in; none: they have to."""
    loopback_users: tuple[str, ...] = ("guest",)
    """Users who may connect from this machine only."""
    session_expiry_max_s: int = 0
    """How long a session may live without a connection; 0: as long as its client wants."""
    packet_bytes_max: int = 128 << 20
    """Of a packet from a client."""
    connection_max: int = 0
    """Of the whole broker; 0: any number."""
    login_ms: int = 10_000
    """How long a client may take until it has sent CONNECT."""
    sys_interval_s: int = 10
    """How often the values below `$SYS` are told; 0: there are none."""


class Head:
    """See the module."""

    def __init__(self, core: Core, settings: Settings) -> None:
        self.core: Core = core
        self.settings = settings
        self.promises = Promises(core)
        self.sessions: Sessions = Sessions(core, settings.session_expiry_max_s)
        self.retained: RetainedMessages = RetainedMessages(core)
        self.wills = Wills(self)
        self.traffic: Traffic = Traffic()
        self.sys_topics: SysTopics = SysTopics(self, settings.sys_interval_s)
        core.vhost_keepers.append(self._forget_vhost)

    def __repr__(self) -> str:
        return f"<Head {self.sessions} {self.retained}>"

    def connect(
        self, peer: str = "", loopback: bool = True, on_output: Callable[[], None] = lambda: None
    ) -> Connection:
        """Make the connection of a socket that was accepted."""
        self.traffic.sockets += 1
        return Connection(self, peer=peer, loopback=loopback, on_output=on_output)

    def left(self, connection: Connection, state: ClientSession, session: Session, will: Will | None) -> None:
        """A connection is over."""
        if state.connection is connection:
            self.sessions.leave(state)
        if will is not None:
            self.wills.left(state, session, will)

    def end_session(self, state: ClientSession) -> None:
        """Forget a session; its will waits no longer."""
        self.wills.session_ended(state)
        self.sessions.end(state)

    def _forget_vhost(self, vhost: str) -> Parts:
        """A virtual host is gone: one of its name that is made later inherits nothing."""
        for number, state in enumerate(self.sessions.of_vhost(vhost), 1):
            self.wills.forget(state)
            self.sessions.end(state)
            if number % SESSIONS_AT_ONCE == 0:
                yield
        yield from self.retained.forget_vhost(vhost)


def connections(core: Core, config: Config) -> Callable[[str, bool, Callable[[], None]], Connection]:
    """What makes a connection for each socket that was accepted (see `protocols.registry`)."""
    settings = Settings(
        vhost=config.default_vhost,
        anonymous=anonymous_user(config.mqtt_anonymous_user),
        loopback_users=config.loopback_users,
        session_expiry_max_s=config.mqtt_session_expiry_max_s,
        packet_bytes_max=config.message_size_max,
        connection_max=config.connection_max,
        login_ms=config.handshake_timeout_s * 1000,
        sys_interval_s=config.mqtt_sys_interval_s,
    )
    return Head(core, settings).connect
