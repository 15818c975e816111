"""Recovery: topics that keep messages for subscriptions that want what was before them (A27).

A policy says how much is kept of each topic that it is for: the last message, so many, so many bytes, or
those of so long. Of any topic a message is *retained* whose sender says so, until another one is, or one
without a body. All of it is in memory, counts there, and ends with the process, as with ActiveMQ.

Not here: who asks for them, and how a sender says it (a head). Source: ActiveMQ, "Subscription Recovery
Policy", `RetainedMessageSubscriptionRecoveryPolicy`; Artemis, "Retroactive Addresses".
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from pillarbox.broker.interception import Rule, Waypoint, pass_on, with_header
from pillarbox.broker.run import MESSAGE_BYTES
from pillarbox.engine.base import NO_EXPIRATION, Message

if TYPE_CHECKING:
    from pillarbox.broker.core import Core
    from pillarbox.broker.queue import Queue

RETAINED: Final = "ActiveMQ.Retained"
"""The header of a message that was retained, in ActiveMQ's words."""
MESSAGES_MAX: Final = 10_000
"""Messages that are kept of one topic at most, whatever the policy says; the oldest go."""
TOPICS_MAX: Final = 10_000
"""Topics of which some are kept, and of which one is retained; beyond it the one goes that was first used."""


class Policy(NamedTuple):
    """How much is kept of the topics whose names match."""

    matches: Callable[[str], object]
    messages_max: int = MESSAGES_MAX
    duration_ms: int = 0
    """0: for ever."""
    bytes_max: int = 0
    """Bodies, properties, and `MESSAGE_BYTES` for each message; 0: any number."""
    always: bool = False
    """Every new subscription gets it, and not only those that ask."""


class Recovery:
    """What is kept of all topics of one virtual host."""

    def __init__(self, core: Core) -> None:
        self.core = core
        self.topics: dict[str, Memory] = {}
        self.retained: dict[str, Message] = {}
        self._has_always = False

    def __repr__(self) -> str:
        return f"<Recovery topics={len(self.topics)} retained={len(self.retained)}>"

    def rule(self, policy: Policy) -> Rule:
        """The rule by which topics of this policy are kept."""
        self._has_always = self._has_always or policy.always

        def make(name: str) -> Memory:
            memory = self.topics.get(name)
            if memory is None:
                if len(self.topics) >= TOPICS_MAX:
                    self.topics.pop(next(iter(self.topics))).clear()
                memory = self.topics[name] = Memory(self.core, name, policy)
            return memory

        return Rule(policy.matches, make)

    def recover(self, matches: Callable[[str], object], queue: Queue, *, asks: bool, is_new: bool) -> None:
        """Give a subscription what is kept of the topics that it is to, topic by topic.

        `asks`: it wants that; otherwise it gets what everybody does. `is_new`: its queue was made for it.
        One that was there before gets what is retained alone, each time.
        """
        if not asks and not self._has_always:
            return
        for name in dict.fromkeys((*self.retained, *self.topics)):
            if not matches(name):
                continue
            memory = self.topics.get(name)
            if not asks and (memory is None or not memory.policy.always):
                continue
            one = self.retained.get(name)
            messages = [] if one is None else [one]
            if memory is not None and is_new:
                messages += memory
            now_ms = self.core.changes.now_ms
            pass_on(self.core, (queue,), [each for each in messages if _lasts(each, now_ms)])

    # --- what is retained ----------------------------------------------------------------------------

    def retaining(self, topic: str) -> Retaining:
        """What retains the messages of one topic that stand for those before them."""
        return Retaining(self, topic)

    def retain(self, topic: str, message: Message) -> None:
        """Keep a message, the only one of its topic; one without a body is kept by nobody."""
        self._let_go(topic)
        if not message.body:
            return
        if len(self.retained) >= TOPICS_MAX:
            self._let_go(next(iter(self.retained)))
        properties = with_header(self.core, message, RETAINED, True)
        kept = self.retained[topic] = msgspec.structs.replace(message, properties=properties)
        self.core.changes.hold(_held_bytes(kept))

    def _let_go(self, topic: str) -> None:
        former = self.retained.pop(topic, None)
        if former is not None:
            self.core.changes.hold(-_held_bytes(former))


class Retaining(Waypoint):
    """Takes messages that are to be retained; stands in the route of these alone."""

    def __init__(self, recovery: Recovery, topic: str) -> None:
        super().__init__(recovery.core.changes, topic)
        self._recovery = recovery

    def take_in(self, messages: list[Message]) -> None:
        self._recovery.retain(self.name, messages[-1])


class Memory(Waypoint):
    """Keeps the last messages of one topic."""

    def __init__(self, core: Core, name: str, policy: Policy) -> None:
        super().__init__(core.changes, name)
        self.policy = policy
        self._messages: deque[Message] = deque()
        self._held_bytes = 0

    def __iter__(self) -> Iterator[Message]:
        """What is kept now, the oldest first; some of it may have expired."""
        self._forget()
        yield from self._messages

    def take_in(self, messages: list[Message]) -> None:
        for message in messages[-self.policy.messages_max :]:
            self._messages.append(message)
            self._hold(_held_bytes(message))
        self._forget()

    def clear(self) -> None:
        """Forget everything."""
        while self._messages:
            self._forget_first()

    def _forget(self) -> None:
        """Let go of what the policy does not keep any more."""
        _, messages_max, duration_ms, bytes_max, _ = self.policy
        while len(self._messages) > messages_max or (bytes_max and self._held_bytes > bytes_max):
            self._forget_first()
        since_ms = self._changes.now_ms - duration_ms
        while duration_ms and self._messages and self._messages[0].accepted_ms < since_ms:
            self._forget_first()

    def _forget_first(self) -> None:
        self._hold(-_held_bytes(self._messages.popleft()))

    def _hold(self, size: int) -> None:
        self._held_bytes += size
        self._changes.hold(size)


def _held_bytes(message: Message) -> int:
    return MESSAGE_BYTES + len(message.body) + len(message.properties)


def _lasts(message: Message, now_ms: int) -> bool:
    return message.expiration_ms == NO_EXPIRATION or message.accepted_ms + message.expiration_ms > now_ms
