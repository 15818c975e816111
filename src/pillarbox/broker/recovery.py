"""Recovery: topics that keep their last messages for subscriptions that want what was before them (A27).

A policy says how much is kept of each topic that it is for: the last message, so many, or those of so long.
They are in memory, count there, and end with the process, as with ActiveMQ.

Not here: who asks for them (a head, with `recovered`). Source: ActiveMQ, "Subscription Recovery Policy".
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final, NamedTuple

from pillarbox.broker.interception import Rule, Waypoint, pass_on
from pillarbox.broker.run import MESSAGE_BYTES
from pillarbox.engine.base import NO_EXPIRATION, Message

if TYPE_CHECKING:
    from pillarbox.broker.core import Core
    from pillarbox.broker.queue import Queue

MESSAGES_MAX: Final = 10_000
"""Messages that are kept of one topic at most, whatever the policy says; the oldest go."""
TOPICS_MAX: Final = 10_000
"""Topics of which some are kept; beyond it the one goes that was first used."""


class Policy(NamedTuple):
    """How much is kept of the topics whose names match."""

    matches: Callable[[str], object]
    messages_max: int = MESSAGES_MAX
    duration_ms: int = 0
    """0: for ever."""


class Recovery:
    """What is kept of all topics of one virtual host."""

    def __init__(self, core: Core) -> None:
        self.core = core
        self.topics: dict[str, Memory] = {}

    def __repr__(self) -> str:
        return f"<Recovery topics={len(self.topics)}>"

    def rule(self, policy: Policy) -> Rule:
        """The rule by which topics of this policy are kept."""

        def make(name: str) -> Memory:
            memory = self.topics.get(name)
            if memory is None:
                if len(self.topics) >= TOPICS_MAX:
                    self.topics.pop(next(iter(self.topics))).clear()
                memory = self.topics[name] = Memory(self.core, name, policy)
            return memory

        return Rule(policy.matches, make)

    def recover(self, matches: Callable[[str], object], queue: Queue) -> None:
        """Give a new subscription what is kept of the topics that it is to, topic by topic."""
        for name, memory in list(self.topics.items()):
            if matches(name):
                pass_on(self.core, (queue,), list(memory))


class Memory(Waypoint):
    """Keeps the last messages of one topic."""

    def __init__(self, core: Core, name: str, policy: Policy) -> None:
        super().__init__(core.changes, name)
        self._policy = policy
        self._messages: deque[Message] = deque()

    def __iter__(self) -> Iterator[Message]:
        """What is kept now, the oldest first, without what has expired."""
        self._forget()
        now_ms = self._changes.now_ms
        for message in self._messages:
            if message.expiration_ms == NO_EXPIRATION or message.accepted_ms + message.expiration_ms > now_ms:
                yield message

    def take_in(self, messages: list[Message]) -> None:
        for message in messages[-self._policy.messages_max :]:
            self._messages.append(message)
            self._changes.hold(_held_bytes(message))
        self._forget()

    def clear(self) -> None:
        """Forget everything."""
        while self._messages:
            self._forget_first()

    def _forget(self) -> None:
        """Let go of what the policy does not keep any more."""
        messages_max, duration_ms = self._policy.messages_max, self._policy.duration_ms
        while len(self._messages) > messages_max:
            self._forget_first()
        since_ms = self._changes.now_ms - duration_ms
        while duration_ms and self._messages and self._messages[0].accepted_ms < since_ms:
            self._forget_first()

    def _forget_first(self) -> None:
        self._changes.hold(-_held_bytes(self._messages.popleft()))


def _held_bytes(message: Message) -> int:
    return MESSAGE_BYTES + len(message.body) + len(message.properties)
