"""CONNECT: who it is, which session it goes on with, and what both sides agree upon.

The virtual host may stand before the user name, with a colon between them, as in RabbitMQ.

Source: MQTT 5.0, 3.1, 3.2; MQTT 3.1.1, 3.1, 3.2; rows R141, R5, R7.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from pillarbox.broker.event_details import only_local, wrong_password
from pillarbox.broker.outside import Undecided
from pillarbox.errors import BrokerError
from pillarbox.protocols.mqtt import packets, topics
from pillarbox.protocols.mqtt.errors import reason_of
from pillarbox.protocols.mqtt.inbound import ALIASES_MAX
from pillarbox.protocols.mqtt.outbound import Outbound
from pillarbox.protocols.mqtt.packets import Connect
from pillarbox.protocols.mqtt.primitives import WireError
from pillarbox.protocols.mqtt.properties import PUBREL
from pillarbox.protocols.mqtt.reasons import REFUSAL_CODES, ReasonCode
from pillarbox.protocols.mqtt.sessions import FOR_EVER, bounded
from pillarbox.protocols.strangers import principal_of_stranger

if TYPE_CHECKING:
    from pillarbox.broker.auth import Principal
    from pillarbox.protocols.mqtt.connection import Connection

CLIENT_ID_MAX: Final = 200
"""Characters of a client identifier: the name of a queue is made of it."""

RECEIVE_MAX: Final = 65_535
"""What a client takes at a time that does not say it."""

PORTS_TO_VHOSTS: Final = "mqtt_port_to_vhost_mapping"
"""The global parameter with the virtual host of each port, as RabbitMQ calls it: `{"1883": "shop"}`."""

MECHANISM: Final = "PLAIN"
"""How clients log in, in the words of those who hear of it."""

_log = logging.getLogger("pillarbox.mqtt")


class Refused(Exception):
    """The answer to CONNECT is no."""

    def __init__(self, reason: ReasonCode, text: str) -> None:
        super().__init__(text)
        self.reason = reason


class Who(NamedTuple):
    """As whom a client acts, and where."""

    user: Principal
    vhost: str


def connect(connection: Connection, packet: Connect) -> None:
    """Answer CONNECT. Raises WireError for a second one."""
    if connection.state is not None:
        raise WireError(ReasonCode.PROTOCOL_ERROR, "a second CONNECT")
    connection.version = packet.version
    connection.packet_bytes_max = packet.properties.get("maximum_packet_size", packets.PACKET_BYTES_MAX)
    connection.wants_reasons = bool(packet.properties.get("request_problem_information", 1))
    try:
        _enter(connection, packet)
    except Refused as refused:
        _log.warning("refusing the MQTT connection %s: %s", connection.peer, refused)
        _say_no(connection, refused.reason, str(refused))


def _say_no(connection: Connection, reason: ReasonCode, text: str) -> None:
    version = connection.version
    code = int(reason) if version >= packets.V5 else REFUSAL_CODES.get(reason)
    if code is not None:

        def connack(text: str | None) -> bytes:
            return packets.connack(version, code, session_present=False, properties={"reason_string": text})

        connection.send_reason(connack, text)
    connection.end()


def _enter(connection: Connection, packet: Connect) -> None:
    head = connection.head
    core = head.core
    if "authentication_method" in packet.properties:
        raise Refused(ReasonCode.BAD_AUTHENTICATION_METHOD, "no authentication method is offered")
    client_id = packet.client_id or _assigned(connection, packet)
    if len(client_id) > CLIENT_ID_MAX:
        raise Refused(ReasonCode.CLIENT_IDENTIFIER_NOT_VALID, "its client identifier is too long")
    if packet.will is not None:
        topics.demand_name(packet.will.topic)
    who = _identify(connection, packet, client_id)
    core.events.login(connection, who.user.name, MECHANISM)
    try:
        core.demand_entry(who.user, who.vhost)
    except BrokerError as error:
        raise Refused(ReasonCode.NOT_AUTHORIZED, error.text) from None
    present = head.sessions.find(who.vhost, client_id)
    if present is not None and present.connection is not None:
        present.connection.take_over()
        present = head.sessions.find(who.vhost, client_id)
    try:
        core.quotas.demand_place(head.settings.connection_max)
        session = core.open_session(who.user, who.vhost, connection)
    except BrokerError as error:
        raise Refused(reason_of(error), error.text) from None
    if present is not None and (packet.clean or not head.sessions.is_whole(present)):
        head.end_session(present)
        present = None
    expiry_s = _expiry_s(packet, head.settings.session_expiry_max_s)
    if present is None:
        state = head.sessions.begin(who.vhost, client_id, expiry_s)
    else:
        state = present
        head.wills.returned(state)
        head.sessions.set_expiry(state, expiry_s)
    connection.session, connection.state = session, state
    head.sessions.enter(state, connection)
    traffic = head.traffic
    traffic.connections += 1
    traffic.clients_max = max(traffic.clients_max, head.sessions.connected)
    connection.will, connection.keep_alive_s = packet.will, packet.keep_alive_s
    session.client_id = connection.client_id = client_id
    session.introduce(connection)
    connection.outbound = Outbound(connection, session, packet.properties.get("receive_maximum", RECEIVE_MAX))
    session.add_channel(connection.outbound)
    connection.send(
        packets.connack(
            connection.version,
            ReasonCode.SUCCESS,
            session_present=present is not None and connection.version > packets.V31,
            properties=_agreed(connection, packet, client_id),
        )
    )
    _resume(connection)


def _assigned(connection: Connection, packet: Connect) -> str:
    """A client identifier for a client that leaves it to the broker (3.1.3.1)."""
    if connection.version < packets.V5 and not packet.clean:
        text = "it has no client identifier, and wants a session that is kept"
        raise Refused(ReasonCode.CLIENT_IDENTIFIER_NOT_VALID, text)
    return connection.head.core.unique_name("auto-")


def _identify(connection: Connection, packet: Connect, client_id: str) -> Who:
    """Who it is: by name and password, by its certificate, or as whoever the settings name.

    A password without a name says who it is if it is a token; else it is wrong. Raises Undecided.
    """
    head = connection.head
    core, settings = head.core, head.settings
    if packet.username is None and packet.password is None:
        try:
            caller = connection.caller._replace(vhost=settings.vhost, client_id=client_id)
            stranger = principal_of_stranger(
                core.users, settings.anonymous, settings.loopback_users, connection, caller
            )
        except BrokerError as error:
            raise Refused(ReasonCode.BAD_USER_NAME_OR_PASSWORD, error.text) from None
        return Who(stranger, _vhost_of_port(connection))
    vhost, name = _vhost_and_name(connection, packet.username or "")
    caller = connection.caller._replace(vhost=vhost, client_id=client_id)
    user = core.users.authenticate(name, packet.password or b"", caller)
    if user is None:
        core.events.login(connection, name, MECHANISM, wrong_password(name))
        raise Refused(ReasonCode.BAD_USER_NAME_OR_PASSWORD, f"login refused for {name!r}")
    if user.name in settings.loopback_users and not connection.loopback:
        core.events.login(connection, name, MECHANISM, only_local(name))
        raise Refused(ReasonCode.NOT_AUTHORIZED, f"user {user.name!r} can only connect from this machine")
    return Who(user, vhost)


def _vhost_and_name(connection: Connection, username: str) -> tuple[str, str]:
    vhost, colon, name = username.rpartition(":")
    if colon and vhost in connection.head.core.vhosts:
        return vhost, name
    return _vhost_of_port(connection), username


def _vhost_of_port(connection: Connection) -> str:
    """The virtual host of those who name none: that of the port, where operators have said so."""
    head = connection.head
    ports = head.core.global_parameters.get(PORTS_TO_VHOSTS)
    vhost = ports.get(str(connection.addresses[3])) if isinstance(ports, dict) else None
    return vhost if isinstance(vhost, str) else head.settings.vhost


def _expiry_s(packet: Connect, longest_s: int) -> int:
    """How long the session shall live without a connection."""
    if packet.version >= packets.V5:
        wanted: int = packet.properties.get("session_expiry_interval", 0)
    else:
        wanted = 0 if packet.clean else FOR_EVER
    return bounded(wanted, longest_s)


def _agreed(connection: Connection, packet: Connect, client_id: str) -> dict[str, Any]:
    """What the broker tells a client of version 5 (3.2.2.3)."""
    assert connection.state is not None
    wanted = packet.properties.get("session_expiry_interval", 0)
    expiry_s = connection.state.expiry_s
    return {
        "session_expiry_interval": expiry_s if expiry_s != wanted else None,
        "assigned_client_identifier": None if packet.client_id else client_id,
        "topic_alias_maximum": ALIASES_MAX,
        "maximum_packet_size": connection.head.settings.packet_bytes_max,
    }


def _resume(connection: Connection) -> None:
    """Go on with what was under way: first the ends of exchanges of QoS 2, then messages (4.4)."""
    state = connection.state
    assert state is not None
    connection.head.sys_topics.watch(state)
    for packet_id in state.released:
        connection.send(packets.answer(PUBREL, packet_id, connection.version))
    if state.subscriptions:
        _attend(connection)


def _attend(connection: Connection) -> None:
    """Receive from what the session has subscribed to. Raises BrokerError: it may not any more."""
    state = connection.state
    assert state is not None
    try:
        connection.outbound.attend()
        for raw, subscribed in state.subscriptions.items():
            if raw.startswith(topics.SHARED):
                connection.outbound.attend_shared(subscribed)
    except Undecided as undecided:
        connection.ask(undecided, lambda: _attend(connection))
