"""Topics in blocks of bytes against a plain dict and the obvious way to match a filter."""

from __future__ import annotations

import random
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from pillarbox.protocols.mqtt import topic_store
from pillarbox.protocols.mqtt.topic_store import COUNT_MAX, Topics, names_of, pack_block, value_of, values_of
from pillarbox.protocols.mqtt.topics import matches

levels = st.sampled_from(["", "a", "b", "a!", "a0", "$c", "é", "\x01"])
names = st.lists(levels, min_size=1, max_size=4).map("/".join).filter(bool)
filters = st.builds(
    lambda parts, end: "/".join([*parts, *end]) or "#",
    st.lists(st.sampled_from(["", "a", "b", "a!", "$c", "é", "+"]), max_size=4),
    st.sampled_from([[], ["#"]]),
)
values = st.one_of(st.binary(max_size=6), st.integers(0, 40).map(bytes))


def seen(topics: Topics, pattern: str) -> list[tuple[str, bytes]]:
    return [(found[0].decode(), found[1]) for found in topics.matching(pattern) if found is not None]


def wanted(model: dict[str, bytes], pattern: str) -> list[tuple[str, bytes]]:
    """The slow and obvious way."""
    found = [one for one in model.items() if matches(pattern, one[0])]
    return sorted(found, key=lambda one: one[0].encode())


class Model(RuleBasedStateMachine):
    """Small blocks, so that few topics fill, cut and join them."""

    def __init__(self) -> None:
        super().__init__()
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr(topic_store, "COUNT_MAX", 8)
        self.patch.setattr(topic_store, "BYTES_MAX", 64)
        self.topics = Topics()
        self.model: dict[str, bytes] = {}
        self.lent: list[tuple[list[bytes], list[bytes], list[bytes], list[bytes]]] = []

    def teardown(self) -> None:
        self.patch.undo()

    @rule(name=names, value=values)
    def put(self, name: str, value: bytes) -> None:
        self.topics.put(name.encode(), value)
        self.model[name] = value

    @rule(count=st.integers(1, 30), value=values)
    def put_many(self, count: int, value: bytes) -> None:
        for number in range(count):
            self.put(f"b/{number}/a", value)

    @rule(name=names)
    def remove(self, name: str) -> None:
        assert self.topics.remove(name.encode()) == (self.model.pop(name, None) is not None)

    @rule(chance=st.randoms(use_true_random=False))
    def remove_many(self, chance: random.Random) -> None:
        for name in chance.sample(sorted(self.model), len(self.model) * 3 // 4):
            self.remove(name)

    @rule(pattern=filters)
    def match(self, pattern: str) -> None:
        assert seen(self.topics, pattern) == wanted(self.model, pattern)

    @rule()
    def lend(self) -> None:
        firsts, blocks = self.topics.lend()
        self.lent.append((firsts, list(firsts), blocks, list(blocks)))

    @rule()
    def restart(self) -> None:
        _, blocks = self.topics.lend()
        self.topics = Topics()
        for block in blocks:
            self.topics.append(block)

    @invariant()
    def the_same(self) -> None:
        assert self.topics.count == len(self.model)
        assert seen(self.topics, "#") == wanted(self.model, "#")
        for name in ("a", "b/a", "$c"):
            assert self.topics.get(name.encode()) == self.model.get(name)
        firsts, blocks = self.topics._firsts, self.topics._blocks
        assert firsts == [names_of(block)[0] for block in blocks]
        for block in blocks:
            assert 1 <= len(names_of(block)) <= 8
            assert pack_block(names_of(block), values_of(block)) == block
        for firsts, firsts_then, blocks, blocks_then in self.lent:
            assert (firsts, blocks) == (firsts_then, blocks_then)


TestModel = Model.TestCase
TestModel.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)


@pytest.mark.row("R141")
@given(st.dictionaries(names, values), st.lists(filters, min_size=1, max_size=6))
@settings(deadline=None)
def test_a_filter_finds_what_it_takes(model: dict[str, bytes], patterns: list[str]) -> None:
    topics = Topics()
    for name, value in model.items():
        topics.put(name.encode(), value)
    for pattern in patterns:
        assert seen(topics, pattern) == wanted(model, pattern)


@given(st.dictionaries(names.map(str.encode), values, min_size=1))
def test_a_block_has_what_was_put_into_it(model: dict[bytes, bytes]) -> None:
    ordered = sorted(model)
    block = pack_block(ordered, [model[name] for name in ordered])
    assert names_of(block) == ordered
    assert [value_of(block, index) for index in range(len(ordered))] == values_of(block)
    assert dict(zip(ordered, values_of(block), strict=True)) == model


def test_blocks_that_overlap_are_taken_over_all_the_same() -> None:
    """Nothing writes them so; what is kept may not be lost for that."""
    topics = Topics()
    topics.append(pack_block([b"b", b"d"], [b"1", b"2"]))
    topics.append(pack_block([b"a", b"c", b"d"], [b"3", b"4", b"5"]))
    assert seen(topics, "#") == [("a", b"3"), ("b", b"1"), ("c", b"4"), ("d", b"5")]
    assert topics.count == 4


def test_a_large_value_stands_alone() -> None:
    topics = Topics()
    for number in range(20):
        topics.put(b"%02d" % number, b"x")
    topics.put(b"10", bytes(1 << 20))
    sizes = [len(block) for block in topics.lend()[1]]
    assert len(sizes) == 3
    assert sizes[1] < (1 << 20) + 100
    assert topics.get(b"10") == bytes(1 << 20)


@pytest.mark.parametrize("is_sorted", [True, False])
def test_a_topic_takes_few_bytes_beside_its_own(is_sorted: bool) -> None:
    """Names of 24 bytes and values of 30, in the order of the names and in any other."""
    numbers = list(range(20_000))
    if not is_sorted:
        random.Random(1).shuffle(numbers)
    topics = Topics()
    for number in numbers:
        topics.put(b"plant/%05d/sensor/state" % number, bytes(30))
    firsts, blocks = topics.lend()
    held = sum(map(sys.getsizeof, (*firsts, *blocks, firsts, blocks)))
    assert held / len(numbers) < 24 + 30 + 14
    for number in numbers:
        assert topics.remove(b"plant/%05d/sensor/state" % number)
    assert topics.lend() == ([], [])


def test_a_filter_goes_past_what_it_does_not_take() -> None:
    """A million below one level are one step for a `+` that asks for something else."""
    topics = Topics()
    for plant in range(20):
        for sensor in range(10 * COUNT_MAX):
            topics.put(b"plant%02d/sensor/%d" % (plant, sensor), b"1")
        topics.put(b"plant%02d/state" % plant, b"2")
    steps = list(topics.matching("+/state"))
    assert len(steps) == 2 * 20 or len(steps) == 20
    assert sum(found is not None for found in steps) == 20
