"""Whatever clients do and whenever they die, a classic group ends with those who live, each with its part."""

from __future__ import annotations

import pytest
from hypothesis import settings, strategies
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule

from pillarbox.protocols.kafka.groups.classic import ClassicGroup, State
from tests.protocols.kafka.groups.hall import SESSION_MS, Client, Hall

pytestmark = [pytest.mark.row("K50"), pytest.mark.row("K53")]

BEAT_MS = 3_000


class Consumers(RuleBasedStateMachine):
    """Clients come, go, die and come back as the same instance, while time goes by."""

    clients = Bundle("clients")

    def __init__(self) -> None:
        super().__init__()
        self.hall = Hall()
        self.group = ClassicGroup("g", self.hall)
        self.all: list[Client] = []
        self.generation = 0

    @rule(target=clients, instance=strategies.sampled_from((None, None, "i", "j")))
    def start(self, instance: str | None) -> Client:
        client = Client(self.group, f"c{len(self.all)}", instance)
        self.all.append(client)
        client.step()
        return client

    @rule(client=clients)
    def leave(self, client: Client) -> None:
        if client.alive:
            client.leave()

    @rule(client=clients)
    def die(self, client: Client) -> None:
        client.die()

    @rule(client=clients)
    def act(self, client: Client) -> None:
        client.step()

    @rule(beats=strategies.integers(1, 4))
    def live(self, beats: int) -> None:
        for _ in range(beats):
            for client in self.all:
                client.step()
            self.hall.advance(BEAT_MS)

    @rule(ms=strategies.integers(1, 2 * SESSION_MS))
    def wait(self, ms: int) -> None:
        self.hall.advance(ms)

    @rule()
    def restart(self) -> None:
        """The broker forgets all calls, and clients see what they wait for refused, as connections break."""
        if self.hall.kept is None:
            return
        self.hall.forget_alarms()
        group = ClassicGroup("g", self.hall)
        group.restore(self.hall.kept)
        self.group, self.generation = group, group.generation
        for client in self.all:
            client.group, client.waits = group, False
            client.history.clear()

    @invariant()
    def is_consistent(self) -> None:
        group = self.group
        members = group.members.values()
        assert group.generation >= self.generation
        self.generation = group.generation
        assert all(key == one.id for key, one in group.members.items())
        assert group.instances == {one.instance_id: one.id for one in members if one.instance_id is not None}
        assert (group.leader in group.members) == bool(members)
        assert (group.state is State.EMPTY) <= (not members)
        assert (group.state in (State.COMPLETING, State.STABLE)) <= bool(members)
        if group.state is not State.PREPARING:
            assert all(one.on_joined is None for one in members)
        if group.state is not State.COMPLETING:
            assert all(one.on_synced is None for one in members)

    @invariant()
    def of_one_generation_all_hear_the_same(self) -> None:
        """But for instances, of which the one that leads may have come back under another id."""
        if any(client.instance_id is not None for client in self.all):
            return
        last = [client.history[-1] for client in self.all if client.history]
        now = [joined for joined in last if joined.generation == self.group.generation]
        assert len({(joined.leader, joined.protocol_name) for joined in now}) <= 1
        assert sum(bool(joined.members) for joined in now) <= 1

    def teardown(self) -> None:
        """In the end the living are in, and nobody else; a living instance is the last one of its name."""
        for _ in range(70):
            for client in self.all:
                client.step()
            self.hall.advance(BEAT_MS)
        living = {client.id: client for client in self.all if client.alive}
        assert set(self.group.members) == set(living)
        assert self.group.state is (State.STABLE if living else State.EMPTY)
        for client in living.values():
            assert client.generation == self.group.generation
            assert client.assignment is not None


class TestConsumers(Consumers.TestCase):  # type: ignore[misc, name-defined]
    settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
