"""What consumers and their leader write into the bytes that a group passes on is read, and never believed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pillarbox.protocols.kafka.groups.subscription import assignment_of, topics_of

pytestmark = pytest.mark.row("K51", "K57")


def assignment(dealt: dict[str, list[int]]) -> bytes:
    """As ConsumerProtocolAssignment has it: version, topics with partitions, user data."""
    data = (1).to_bytes(2, "big") + len(dealt).to_bytes(4, "big")
    for topic, partitions in dealt.items():
        name = topic.encode()
        data += len(name).to_bytes(2, "big") + name + len(partitions).to_bytes(4, "big")
        data += b"".join(number.to_bytes(4, "big") for number in partitions)
    return data + (-1).to_bytes(4, "big", signed=True)


names = st.text(st.sampled_from("abcé.-"), max_size=8)


@given(st.dictionaries(names, st.lists(st.integers(0, 2**31 - 1), max_size=5), max_size=4))
def test_assignment_is_read_as_it_was_written(dealt: dict[str, list[int]]) -> None:
    assert assignment_of(assignment(dealt)) == dealt


@given(st.binary(max_size=60))
def test_other_bytes_say_nothing_and_do_no_harm(data: bytes) -> None:
    assert isinstance(assignment_of(data), dict)
    assert isinstance(topics_of(data), frozenset)


@given(st.dictionaries(names, st.lists(st.integers(0, 9), max_size=3), min_size=1, max_size=3), st.data())
def test_an_assignment_that_is_cut_off_says_nothing(dealt: dict[str, list[int]], data: st.DataObject) -> None:
    whole = assignment(dealt)[:-4]
    cut = whole[: data.draw(st.integers(0, len(whole) - 1))]
    assert assignment_of(cut) == {}
