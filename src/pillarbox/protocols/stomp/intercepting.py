"""What an operator's rules for destinations of ActiveMQ do: the rows of `rules` in the words of the domain.

They count for clients of all protocols, in the virtual host of clients that name none.

Source: rows A25, A26, A27, A38.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pillarbox.broker.exchange import ANYCAST
from pillarbox.broker.interception import Forwarder, Goal, Interception, Provide, Rule, Waypoint
from pillarbox.broker.jms_destinations import kind_of, matcher
from pillarbox.broker.recovery import MESSAGES_MAX, Policy
from pillarbox.broker.schedule_header import SCHEDULED_QUEUES
from pillarbox.broker.selectors import compile_selector
from pillarbox.errors import BrokerError, StartupError
from pillarbox.protocols.stomp import rules
from pillarbox.protocols.stomp.declaring import VIRTUAL_TOPIC
from pillarbox.protocols.stomp.destinations import TOPICS, VIRTUAL_CONSUMER, shown

if TYPE_CHECKING:
    from pillarbox.broker.core import Core
    from pillarbox.broker.recovery import Recovery
    from pillarbox.broker.vhost import VHost
    from pillarbox.config import Config
    from pillarbox.engine.base import Message
    from pillarbox.protocols.stomp.head import Settings


def begin(core: Core, config: Config, settings: Settings, recovery: Recovery) -> None:
    """Have the rules count, with what is kept of topics. Raises StartupError."""
    vhost = core.vhosts.get(config.default_vhost)
    if vhost is None:
        return
    interception = Interception(core, vhost)
    for text in config.stomp_composite_destinations:
        composite = rules.read_composite(text)
        to_queue = composite.source.kind == rules.QUEUE
        where = interception.for_queues if to_queue else interception.for_topics
        where.append(_composite(interception, composite, text, settings))
    for text in config.stomp_topics_keep:
        kept = rules.read_kept(text)
        policy = Policy(
            matcher(kept.topic),
            kept.messages_max or MESSAGES_MAX,
            kept.duration_ms or 0,
            kept.bytes_max or 0,
            # Artemis' retroactive addresses ask nobody.
            kept.always or settings.is_artemis,
        )
        interception.for_topics.append(recovery.rule(policy)._replace(on_arrival=True))
    if config.stomp_mirrored_queues:
        interception.for_queues.append(_mirrors(interception, config.stomp_mirrored_queues))
    if config.stomp_virtual_topics_select:
        interception.gated = _is_of_a_virtual_topic
    if {"MessageDelivered", "NoConsumer"} & set(config.stomp_advisories):
        interception.for_queues.append(_told(interception, "Queue"))
        interception.for_topics.append(_told(interception, "Topic"))
    core.advisories.choose(config.stomp_advisories, slow_after_ms=config.stomp_slow_after_s * 1000)
    interception.begin()
    for name in (SCHEDULED_QUEUES, ANYCAST):
        if name in vhost.exchanges:
            interception.stand_before(vhost.exchanges[name])


def _is_of_a_virtual_topic(name: str) -> bool:
    return name.startswith(VIRTUAL_CONSUMER) and f".{VIRTUAL_TOPIC}" in name


def _composite(interception: Interception, composite: rules.Composite, text: str, settings: Settings) -> Rule:
    goals = [_goal(way, text) for way in composite.ways]
    provide = _provide(interception.vhost, settings)
    exchange = "" if composite.source.kind == rules.QUEUE else TOPICS

    def make(name: str) -> Waypoint:
        return Forwarder(interception, name, goals, shown(exchange, name, slashes=True), provide)

    return Rule(matcher(composite.source.name), make, composite.only)


def _goal(way: rules.Way, text: str) -> Goal:
    exchange = "" if way.place.kind == rules.QUEUE else TOPICS
    if not way.selector:
        return Goal(exchange, way.place.name)
    try:
        return Goal(exchange, way.place.name, compile_selector(way.selector))
    except BrokerError as error:
        raise StartupError(f'stomp_composite_destinations, "{text}": {error.text}') from None


def _provide(vhost: VHost, settings: Settings) -> Provide:
    """Queues are made when something is sent to them for the first time, as if a client did it."""

    def provide(goal: Goal) -> None:
        if goal.exchange or goal.key in vhost.queues:
            return
        arguments = {} if vhost.has_dead_letter_policy(goal.key) else settings.dead_letter_arguments
        if arguments and settings.dead_letter_queue not in vhost.queues:
            vhost.declare_queue(None, settings.dead_letter_queue, durable=True)
        vhost.declare_queue(None, goal.key, durable=True, arguments=arguments)

    return provide


class Announcer(Waypoint):
    """Has advisories tell of what is sent to a queue, or to a topic (A38)."""

    def __init__(self, interception: Interception, kind: str, name: str) -> None:
        super().__init__(interception.core.changes, name)
        self._core = interception.core
        self._vhost = interception.vhost
        self._kind = kind

    def take_in(self, messages: list[Message]) -> None:
        kind, queue = self._kind, self._vhost.queues.get(self.name)
        if kind == "Queue" and queue is not None:
            kind = kind_of(queue)
        self._core.events.mention("message.arrived", self._vhost, kind, self.name, messages)


def _told(interception: Interception, kind: str) -> Rule:
    def is_one(name: str) -> bool:
        return kind == "Topic" or name in interception.vhost.queues

    return Rule(is_one, lambda name: Announcer(interception, kind, name), on_arrival=True)


def _mirrors(interception: Interception, prefix: str) -> Rule:
    """What comes to a queue that is not temporary goes to a topic of its name, too."""
    vhost = interception.vhost

    def is_lasting(name: str) -> bool:
        queue = vhost.queues.get(name)
        return queue is not None and queue.owner is None

    def make(name: str) -> Waypoint:
        return Forwarder(interception, name, (Goal(TOPICS, f"{prefix}{name}"),), "", lambda goal: None)

    return Rule(is_lasting, make, on_arrival=True)
