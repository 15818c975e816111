"""What operators do to a broker beyond declaring: virtual hosts, users, global parameters.

Functions over a core, so that the core holds state and the ways of messages, and every door to it (HTTP,
imported definitions, the command line, a test) does the same. Not here: who may do it.

Source: RabbitMQ's management API and `rabbitmqctl`; texts of closes measured on 3.10.8.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import msgspec

from pillarbox.broker import definitions as kept
from pillarbox.broker.auth import User
from pillarbox.broker.quotas import USER, VHOST
from pillarbox.errors import BrokerError, Reason

if TYPE_CHECKING:
    from pillarbox.broker.chores import Parts
    from pillarbox.broker.core import Core
    from pillarbox.broker.scram import Verifier
    from pillarbox.broker.session import Session
    from pillarbox.broker.vhost import VHost

QUEUE_TYPES = ("", "classic", "quorum", "stream")


def put_vhost(
    core: Core,
    name: str,
    *,
    description: str | None = None,
    tags: Iterable[str] | None = None,
    default_queue_type: str | None = None,
    protected: bool | None = None,
) -> VHost:
    """Make a virtual host, or change the one of this name; None leaves as it is.

    `default_queue_type` is what a queue becomes that is declared without `x-queue-type` and can be such a
    one; "" is classic. `protected`: it cannot be removed. Raises PRECONDITION_FAILED for an unknown type.
    """
    if default_queue_type is not None and default_queue_type not in QUEUE_TYPES:
        raise BrokerError(Reason.PRECONDITION_FAILED, f"unsupported queue type '{default_queue_type}'")
    core.demand_storage()
    said = {
        "description": description,
        "tags": None if tags is None else tuple(tags),
        "default_queue_type": default_queue_type,
        "protected": protected,
    }
    return core.put_vhost(name, {key: value for key, value in said.items() if value is not None})


def remove_vhost(core: Core, name: str) -> bool:
    """Remove a virtual host with everything in it; False: there is none.

    Its connections are closed at once. If there is much in it, it goes in parts (see `chores`), its own
    definition last: after a crash in between, what is left is in a virtual host as before.
    Raises PRECONDITION_FAILED if it is protected.
    """
    vhost = core.vhosts.get(name)
    if vhost is None:
        return False
    if vhost.protected:
        text = f"cannot delete virtual host '{name}': it is protected from deletion"
        raise BrokerError(Reason.PRECONDITION_FAILED, text)
    if not vhost.closing:
        _close([one for one in core.sessions if one.vhost is vhost], f"vhost '{name}' is deleted")
        core.chores.begin(core.events.on_behalf(_removal(core, vhost)))
    return True


def _removal(core: Core, vhost: VHost) -> Parts:
    yield from vhost.close()
    name = vhost.name
    for forget in core.vhost_keepers:
        yield from forget(name)
    core.quotas.forget(VHOST, name)
    core.parameters.forget(name)
    for user, where in [key for key in core.users.permissions if key[1] == name]:
        remove_permission(core, user, where)
    for user, where in [key for key in core.users.topics.by_user if key[1] == name]:
        core.clear_topic_permission(user, where)
    vhost.bequeath()
    del core.vhosts[name]
    core.undefine("vhost", name)


def put_verifiers(core: Core, name: str, verifiers: Iterable[Verifier]) -> User:
    """Have these count for a user's logins by SCRAM, and none beside; its password stays what it is.

    A user that is not there is made, without a password and without rights.
    """
    core.demand_storage()
    user = core.users.by_name.get(name) or User(name, "")
    core.users.by_name[name] = msgspec.structs.replace(user, scram=tuple(verifiers))
    return core.put_user(core.users.by_name[name])


def remove_user(core: Core, name: str) -> bool:
    """Remove a user and its permissions, and close its connections; False: there is none."""
    if core.users.by_name.pop(name, None) is None:
        return False
    core.undefine("user", name)
    # Of what a user had nothing is told: it is gone with the user.
    core.quotas.forget(USER, name, told=False)
    for user, where in [key for key in core.users.permissions if key[0] == name]:
        remove_permission(core, user, where, told=False)
    for user, where in [key for key in core.users.topics.by_user if key[0] == name]:
        core.clear_topic_permission(user, where, told=False)
    _close([one for one in core.sessions if one.user.name == name], f"user '{name}' is deleted")
    return True


def remove_permission(core: Core, user: str, vhost: str, *, told: bool = True) -> bool:
    """Take from a user all rights in a virtual host; connections stay, and are refused what they ask for."""
    if core.users.permissions.pop((user, vhost), None) is None:
        return False
    core.undefine("permission", kept.key_of(user, vhost), told=told)
    for session in core.sessions:
        session.forget_routes()
    return True


def put_global_parameter(core: Core, name: str, value: Any) -> None:
    """Keep a value for the whole broker (R97). `cluster_name` is what clients are told when they connect."""
    core.demand_storage()
    core.global_parameters[name] = value
    core.define("global_parameter", name, kept.GlobalParameterDefinition(name, value))


def remove_global_parameter(core: Core, name: str) -> bool:
    """Forget a value; False: there was none."""
    if name not in core.global_parameters:
        return False
    del core.global_parameters[name]
    core.undefine("global_parameter", name)
    return True


def _close(sessions: Iterable[Session], text: str) -> None:
    for session in sessions:
        session.outlet.shut_down(text)
