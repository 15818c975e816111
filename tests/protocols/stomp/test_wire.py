"""The codec of STOMP by itself: frames from any split of the bytes, heads of every version."""

from __future__ import annotations

import sys
from itertools import pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pillarbox.protocols.stomp.wire import (
    HEAD_BYTES_MAX,
    HEADERS_MAX,
    LARGE_BYTES,
    VERSIONS,
    BodyTooLarge,
    Scanner,
    WireError,
    cut_receipt,
    read_head,
    write_frame,
    write_headers,
)

texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\n\0"), max_size=12)
names = texts.filter(lambda text: text.strip() == text and text not in ("", "content-length"))
values = texts.map(str.strip)
frames = st.tuples(
    st.sampled_from(["SEND", "MESSAGE", "ACK"]),
    st.dictionaries(names, values, max_size=4),
    st.binary(max_size=40),
)


def scanned(
    data: bytes, cuts: list[int], body_bytes_max: int = 1 << 20
) -> tuple[list[tuple[bytes, bytes]], str]:
    """All frames of the bytes, fed in pieces, and the fault that ended it."""
    scanner = Scanner()
    scanner.body_bytes_max = body_bytes_max
    found: list[tuple[bytes, bytes]] = []
    edges = sorted({0, *(cut % (len(data) + 1) for cut in cuts), len(data)})
    try:
        for start, stop in pairwise(edges):
            scanner.feed(data[start:stop])
            while (frame := scanner.next()) is not None:
                found.append(frame)
    except WireError as error:
        return found, str(error)
    return found, ""


@given(frames, st.sampled_from(VERSIONS))
@pytest.mark.row("A1")
def test_frame_is_read_as_it_was_written(frame: tuple[str, dict[str, str], bytes], version: str) -> None:
    command, headers, body = frame
    if version == "1.0":
        headers = {name.replace(":", ""): value for name, value in headers.items() if name.strip(": ")}
        headers = {name.strip(): value for name, value in headers.items() if name == name.strip()}
    [found], fault = scanned(write_frame(command, headers.items(), body, version), [])
    assert not fault
    head, got = found  # type: ignore[misc]
    assert (read_head(head, version), got) == ((command, headers), body)


@given(
    st.lists(frames, max_size=4), st.lists(st.integers(0, 500), max_size=12), st.sampled_from(["\n", "\r\n"])
)
@pytest.mark.row("A1")
def test_any_split_gives_the_same_frames(
    said: list[tuple[str, dict[str, str], bytes]], cuts: list[int], line_end: str
) -> None:
    data = b""
    for command, headers, body in said:
        head, _, content = write_frame(command, headers.items(), body, "1.2").partition(b"\n\n")
        data += (head + b"\n\n").replace(b"\n", line_end.encode()) + content + b"\n\r\n"
    whole = scanned(data, [])
    assert len(whole[0]) == len(said)
    assert scanned(data, cuts) == whole
    assert scanned(data, list(range(len(data)))) == whole


@settings(max_examples=60)
@given(
    st.lists(st.sampled_from([0, 1, LARGE_BYTES - 1, LARGE_BYTES, 3 * LARGE_BYTES]), max_size=4),
    st.lists(st.integers(0, 12 * LARGE_BYTES), max_size=8),
)
@pytest.mark.row("A1", "A42")
def test_any_split_gives_the_same_large_frames(sizes: list[int], cuts: list[int]) -> None:
    frames = [write_frame("SEND", [("n", str(size))], b"\0x" * (size // 2) + b"y", "1.2") for size in sizes]
    whole = scanned(b"".join(frames), [])
    assert [len(body) for _, body in whole[0]] == [size // 2 * 2 + 1 for size in sizes]
    assert scanned(b"".join(frames), cuts) == whole


@pytest.mark.row("A42")
def test_large_body_is_one_buffer_that_grows_and_may_be_read_again() -> None:
    """A42: it is not kept a second time, neither as it comes nor when it has been taken."""
    scanner = Scanner()
    scanner.body_bytes_max = 1 << 30
    body = b"0123456789abcdef" * 65536
    frame = write_frame("SEND", [("a", "b")], body, "1.2") + b"ACK\nid:1\n\n\0"
    for start in range(0, len(frame), 100_000):
        scanner.feed(frame[start : start + 100_000])
        if start + 100_000 < len(body):
            assert scanner.next() is None
            assert scanner.due_bytes + scanner.waiting_bytes == len(body)
    head, first = scanner.next() or (b"", b"")
    assert (head, first == body) == (b"SEND\na:b", True)
    scanner.unread()
    scanner.feed(b"BEGIN\ntransaction:t\n\n\0")
    found = scanner.next()
    assert found is not None
    assert found[1] is first
    assert scanner.alike() == ([], [])
    assert scanner.next() == (b"ACK\nid:1", b"")
    assert scanner.next() == (b"BEGIN\ntransaction:t", b"")
    del found
    assert sys.getrefcount(first) == 2, "nobody else has it"


@pytest.mark.row("A42", "A10")
def test_large_body_has_to_end_with_nul() -> None:
    data = b"SEND\ncontent-length:%d\n\n" % LARGE_BYTES + b"x" * LARGE_BYTES
    for end in (b"x", b"xx\0"):
        assert "not followed by NUL" in scanned(data + end, [len(data) - 10])[1]
    scanner = Scanner()
    scanner.body_bytes_max = LARGE_BYTES - 1
    scanner.feed(data[:100])
    with pytest.raises(BodyTooLarge):
        scanner.next()


@given(st.lists(st.sampled_from([b"SEND", b"\n", b"\r", b"\0", b":", b"a", b"content-length:3", b"\n\n"])))
@example([b"SEND", b"\n", b"content-length:3", b"\n\n", b"a", b"a", b"a", b"\0"])
@pytest.mark.row("A1")
def test_any_split_of_nonsense_ends_alike(pieces: list[bytes]) -> None:
    """What is wrong may show earlier where more is there at a time; frames before it are the same."""
    data = b"".join(pieces)
    whole, fault = scanned(data, [])
    parts, its_fault = scanned(data, list(range(len(data))))
    assert parts == whole
    assert bool(its_fault) == bool(fault)


def scanned_alike(data: bytes) -> tuple[list[object], str]:
    """The same as `scanned`, for bytes that come at once, with those that are alike taken together."""
    scanner = Scanner()
    scanner.body_bytes_max = 3
    found: list[object] = []
    try:
        scanner.feed(data)
        while (frame := scanner.next()) is not None:
            (head, asked), (bodies, receipts) = cut_receipt(frame[0]), scanner.alike()
            assert len(receipts) == (0 if asked is None else len(bodies))
            found.append((head, asked, frame[1]))
            found += zip([head] * len(bodies), receipts or [None] * len(bodies), bodies, strict=True)
    except WireError as error:
        return found, str(error)
    return found, ""


HEADS = (
    *(b"SEND\na:b\n\n", b"SEND\na:b\r\n\r\n", b"SEND\na:b\ncontent-length:3\n\n"),
    *(b"SEND\nreceipt:1\na:b\n\n", b"SEND\nreceipt: 2\na:b\n\n", b"SEND\nreceipt:3\na:c\n\n"),
    *(b"SEND\nreceipt:4\0\na:b\n\n", b"SEND\na:b\nreceipt:5\n\n", b"SEND\nreceipt:\n"),
)
BODIES = (b"\0", b"abc\0", b"abc\0", b"a\0c\0", b"ab", b"abcd\0", b"\0\n", b"\0\r\n", b"")
one_frame = st.tuples(st.sampled_from(HEADS), st.sampled_from(BODIES)).map(b"".join)


@settings(max_examples=400)
@given(st.lists(one_frame, max_size=4), st.integers(1, 3))
@pytest.mark.row("A1")
def test_frames_that_are_alike_are_those_that_are_told_one_by_one(said: list[bytes], times: int) -> None:
    for data in (b"".join(said) * times, b"".join([one * times for one in said])):
        frames, fault = scanned(data, [], 3)
        assert scanned_alike(data) == ([(*cut_receipt(head), body) for head, body in frames], fault)


@pytest.mark.parametrize(
    ("following", "last"),
    [
        (["id:%@@9", "id:%@@10", "id:%@@11"], 11),
        (["id:%@@9", "id:%@@11"], 9),
        (["id:%@@9", "id:%@@9"], 9),
        (["id:%@@9", "id:@@10"], 9),
        (["id:%@@9", "id:%@@10\na:b"], 9),
        (["id:%@@9", "id:%@@010"], 9),
        (["id:%@@9\ncontent-length:0", "id:%@@10\ncontent-length:0"], 9),
    ],
)
@pytest.mark.row("A1", "A3")
def test_numbers_that_count_on_are_taken_together(following: list[str], last: int) -> None:
    scanner = Scanner()
    scanner.feed(b"".join([f"ACK\n{headers}\n\n\0".encode() for headers in following]))
    first, _ = scanner.next() or (b"", b"")
    assert scanner.count_on(first.index(b"9"), b"9") == last
    left = 0
    while scanner.next() is not None:
        left += 1
    assert 1 + last - 9 + left == len(following)


@pytest.mark.row("A1")
def test_body_with_a_length_may_hold_nul_and_line_ends() -> None:
    frame = b"SEND\ncontent-length:5\na:b\n\na\0\n\0b\0"
    assert scanned(frame, [3, 9, 27]) == ([(b"SEND\na:b", b"a\0\n\0b")], "")


@pytest.mark.row("A1")
def test_line_ends_between_frames_are_heart_beats() -> None:
    assert scanned(b"\n\r\n\nBEGIN\ntransaction:t\n\n\0\n\n\n", []) == ([(b"BEGIN\ntransaction:t", b"")], "")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"SEND\ncontent-length:2\n\nabc\0", "content-length is not the size"),
        (b"SEND\ncontent-length:-1\n\n\0", "content-length is no number"),
        (b"SEND\ncontent-length:1_0\n\n\0", "content-length is no number"),
        (b"SEND\ncontent-length:99999999999\n\n", "body is larger than"),
        (b"SEND\n\n" + b"a" * 2000 + b"\0", "body is larger than"),
        (b"SEND\n\n" + b"a" * 80_000, "body is larger than"),
        (b"SEND\n" + b"a:b\n" * HEAD_BYTES_MAX, "headers are larger than"),
        (b"SEND\na:b\0", "before an empty line"),
    ],
)
@pytest.mark.row("A1", "A10")
def test_bytes_that_are_no_frame_are_refused(data: bytes, words: str) -> None:
    for cuts in ([], list(range(0, len(data), 700))):
        frames, fault = scanned(data, cuts, body_bytes_max=1000)
        assert frames == []
        assert words in fault


@pytest.mark.parametrize(
    ("head", "version", "words"),
    [
        (b"SEND\nnocolon", "1.2", "no colon"),
        (b"SEND\n:value", "1.2", "no name"),
        (b"SEND\na:\\x", "1.2", "not defined"),
        (b"SEND\na:\\r", "1.1", "not defined"),
        (b"SEND\na:\\", "1.2", "not defined"),
        (b"SEND\na:\xff", "1.2", "no UTF-8"),
        (b"SEND" + b"\na:b" * (HEADERS_MAX + 1), "1.2", "more than"),
    ],
)
@pytest.mark.row("A1", "A10")
def test_heads_that_are_wrong_are_refused(head: bytes, version: str, words: str) -> None:
    with pytest.raises(WireError, match=words):
        read_head(head, version)


@pytest.mark.row("A1")
def test_each_version_escapes_in_its_own_way() -> None:
    head = b"SEND\na: x\\n\\c\\\\ "
    assert read_head(head, "1.0") == ("SEND", {"a": "x\\n\\c\\\\"})
    assert read_head(head, "1.1") == ("SEND", {"a": " x\n:\\ "})
    assert read_head(head + b"\\r\r", "1.2") == ("SEND", {"a": " x\n:\\ \r"})


@pytest.mark.row("A1")
def test_first_of_repeated_headers_counts() -> None:
    assert read_head(b"SEND\na:1\na:2", "1.2") == ("SEND", {"a": "1"})


@pytest.mark.row("A4")
def test_receipt_is_cut_out_of_a_head() -> None:
    assert cut_receipt(b"SEND\nreceipt:\\c1\na:b") == (b"SEND\na:b", b"\\c1")
    assert cut_receipt(b"SEND\na:b\nreceipt:x") == (b"SEND\na:b", b"x")
    assert cut_receipt(b"SEND\nmy-receipt:x") == (b"SEND\nmy-receipt:x", None)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.row("A1", "A6")
def test_no_text_ends_a_frame_or_begins_a_header(version: str) -> None:
    """Messages of other protocols may say anything; NUL has no form in STOMP."""
    written = write_headers([("a\0b", "c\0\nd:e")], version)
    assert b"\0" not in written
    assert written.count(b"\n") == 1
    assert written.decode().startswith("a\ufffdb:c\ufffd")
