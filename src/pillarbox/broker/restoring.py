"""Restoring: an empty core takes over what an engine found.

Definitions come kind by kind, in the order in which they need one another (`STEPS`): a queue needs its
virtual host and the policies there, a lane its queue, a binding both of its ends. Messages come when all
lanes are there. Not here: what a definition makes, which is said where it is made without a restart, too.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from pillarbox.broker import definitions as kept
from pillarbox.broker.quotas import USER, VHOST
from pillarbox.broker.vhost import VHost
from pillarbox.errors import StartupError

if TYPE_CHECKING:
    from pillarbox.broker.core import Core
    from pillarbox.broker.queue import Queue
    from pillarbox.broker.undelivered import Undelivered
    from pillarbox.engine.base import Recovery


class Restoring:
    """One restart: the core, what was found, and what has been restored so far, by its uid."""

    def __init__(self, core: Core, recovery: Recovery) -> None:
        self.core = core
        self.recovery = recovery
        self.queues: dict[int, Queue] = {}
        self.undelivered: dict[int, Undelivered] = {}
        """By uids of their own, which their hidden queues have, too."""
        self._lifetimes: dict[int, list[tuple[int, int | None]]] = {}
        """Of lanes, by their uids."""

    def vhost(self, key: str, definition: kept.VhostDefinition) -> None:
        vhost = self.core.vhosts[key] = VHost(self.core, key)
        vhost.restore(definition)

    def parameter(self, _key: str, definition: kept.ParameterDefinition) -> None:
        self.core.parameters.restore(definition)

    def global_parameter(self, key: str, definition: kept.GlobalParameterDefinition) -> None:
        self.core.global_parameters[key] = definition.value

    def vhost_limits(self, _key: str, limits: Any) -> None:
        self.core.quotas.restore(VHOST, limits)

    def user_limits(self, _key: str, limits: Any) -> None:
        self.core.quotas.restore(USER, limits)

    def user(self, _key: str, user: Any) -> None:
        self.core.users.put(user)

    def permission(self, _key: str, permission: Any) -> None:
        self.core.users.permissions[permission.user, permission.vhost] = permission

    def topic_permission(self, _key: str, permission: Any) -> None:
        self.core.users.topics.put(permission)

    def policy(self, _key: str, policy: Any) -> None:
        self.core.vhosts[policy.vhost].restore_policy(policy, operator=False)

    def operator_policy(self, _key: str, policy: Any) -> None:
        self.core.vhosts[policy.vhost].restore_policy(policy, operator=True)

    def exchange(self, _key: str, definition: kept.ExchangeDefinition) -> None:
        self.core.vhosts[definition.vhost].restore_exchange(definition)

    def schedule(self, key: str, definition: kept.ScheduleDefinition) -> None:
        self.core.schedules.restore(self._uid(key), definition, self.recovery)

    def queue(self, key: str, definition: kept.QueueDefinition) -> None:
        uid = self._uid(key)
        self.queues[uid] = self.core.vhosts[definition.vhost].restore_queue(uid, definition)

    def dead(self, key: str, definition: kept.DeadDefinition) -> None:
        uid = self._uid(key)
        self.undelivered[uid] = self.core.undelivered.restore(uid, self.queues[definition.queue])

    def lifetimes(self, key: str, definition: kept.LifetimesDefinition) -> None:
        self._lifetimes[int(key)] = definition.spans

    def lane(self, key: str, definition: kept.LaneDefinition) -> None:
        hidden = self.undelivered.get(definition.queue)
        queue = self.queues[definition.queue] if hidden is None else hidden.queue
        queue.add_lane(self._uid(key), definition.priority)

    def binding(self, _key: str, definition: kept.BindingDefinition) -> None:
        self.core.vhosts[definition.vhost].restore_binding(definition)

    def topic(self, _key: str, definition: kept.TopicDefinition) -> None:
        self.core.vhosts[definition.vhost].topics.restore(definition)

    def messages(self) -> None:
        """Fill all lanes, which are there by now."""
        for queue in self.queues.values():
            for lane in queue.lanes:
                if lane.uid in self._lifetimes:
                    lane.lifetimes = self._lifetimes[lane.uid]
                    queue.uneven = True
                state = self.recovery.queues.get(lane.uid)
                if state is not None:
                    lane.restore(state)
            # A message may carry a time to live of its own, which only its record tells.
            queue.timed = True
            queue.wake()
        for one in self.undelivered.values():
            one.restore(self.recovery)
        self.core.streams.keep_only(set(self.queues))

    def _uid(self, key: str) -> int:
        """The uid that is a key, which nothing else will get."""
        uid = int(key)
        self.core.uid_is_taken(uid)
        return uid


Step = Callable[[Restoring, str, Any], None]

STEPS: Final[dict[str, Step]] = {
    "vhost": Restoring.vhost,
    "parameter": Restoring.parameter,
    "global_parameter": Restoring.global_parameter,
    VHOST: Restoring.vhost_limits,
    USER: Restoring.user_limits,
    "user": Restoring.user,
    "permission": Restoring.permission,
    "topic_permission": Restoring.topic_permission,
    "policy": Restoring.policy,
    "operator_policy": Restoring.operator_policy,
    "exchange": Restoring.exchange,
    "schedule": Restoring.schedule,
    "queue": Restoring.queue,
    "dead": Restoring.dead,
    "lifetimes": Restoring.lifetimes,
    "lane": Restoring.lane,
    "binding": Restoring.binding,
    "topic": Restoring.topic,
}
"""What is done with a definition, by its kind."""

KINDS: Final = frozenset((*STEPS, kept.HEAD))

LAST_OF_LANES: Final = "lane"
"""After these there is everything that messages are in."""


def restore(core: Core, recovery: Recovery) -> None:
    """Take over what an engine found. Only into an empty core. StartupError for what is newer."""
    assert not core.vhosts
    for (kind, key), value in recovery.definitions.items():
        if kind not in KINDS:
            raise StartupError(
                f"there is a definition of a kind that this version of Pillarbox does not know ({kind}): "
                "use a newer one"
            )
        core.definitions.of(kind)[key] = value
    core.uid_is_taken(recovery.uid_last)
    # What is restored may define something anew.
    found = {kind: list(core.definitions.of(kind).items()) for kind in STEPS}
    restoring = Restoring(core, recovery)
    for kind, step in STEPS.items():
        for key, value in found[kind]:
            step(restoring, key, kept.decode(kind, value))
        if kind == LAST_OF_LANES:
            restoring.messages()
    core.advisories.restored()
