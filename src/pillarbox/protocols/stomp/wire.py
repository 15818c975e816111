"""Bytes of STOMP: which of them are a frame, and how heads and headers are written.

A frame is a head (the command, then lines `name:value`), an empty line, a body and NUL. Between frames there
may be any number of line ends, which are heart-beats. With `content-length` a body may hold NUL; what
contradicts it is an error. A carriage return before a line end is none of the line.

Frames that follow one another are often alike. Those that differ in nothing but their bodies and
receipts (`alike`), or in nothing but a number that counts on (`count_on`), are compared with the one before,
and not read.

A large body whose size is told grows in a buffer of its own as it comes, and is kept as that: it is copied
once, and nothing changes it afterwards.

Source: STOMP 1.2, "STOMP Frames", "Augmented BNF"; 1.1 and 1.0 for what they escape. Invariant: any split of
the input gives the same frames.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from pillarbox.errors import RemoteProtocolError

V10, V11, V12 = "1.0", "1.1", "1.2"
VERSIONS: Final = (V10, V11, V12)

HEAD_BYTES_MAX = 64 << 10
"""Command and headers of one frame. ActiveMQ has 10 KiB for each header; RabbitMQ 4 has about as much."""
HEADERS_MAX = 1000
"""Headers of one frame, as with ActiveMQ."""
STRANGER_BYTES_MAX = 16 << 10
"""Body of a frame before the client has logged in: what strangers send must be cheap to read."""
LARGE_BYTES = 64 << 10
"""From this size on a body that has not come as a whole gets a buffer of its own."""

_ends_of_lines = re.compile(rb"[\r\n]*").match
_end_of_head = re.compile(rb"\r?\n\r?\n").search
_LENGTH: Final = b"\ncontent-length:"
RECEIPT: Final = b"\nreceipt:"
"""How the header begins by which a frame asks for a receipt."""

_NO_NUL: Final = "content-length is not the size of the body: it is not followed by NUL"
_NUL_IN_HEAD: Final = "a frame ends before an empty line has ended its headers"


class WireError(RemoteProtocolError):
    """Bytes that are no frame."""


class BodyTooLarge(WireError):
    """A frame has more than it may."""

    def __init__(self, bytes_max: int) -> None:
        super().__init__(f"the body is larger than {bytes_max} bytes")


class _Large:
    """A frame whose body is large: its head without `content-length`, and what has come of the body."""

    __slots__ = ("body", "head", "size")

    def __init__(self, head: bytes, size: int, begun: memoryview) -> None:
        self.head = head
        self.size = size
        self.body = bytearray(begun)


class Scanner:
    """Tells the bytes of one connection into frames; see the module."""

    def __init__(self) -> None:
        self.body_bytes_max = STRANGER_BYTES_MAX
        self._data = b""
        self._at = 0
        self._from = self._began = self._body_at = 0
        """Of the last frame: where the line ends before it, its head and its body begin."""
        self._sized = False
        """It has a `content-length`."""
        self._late = bytearray()
        """What has come of a frame that is not whole."""
        self._need = 0
        """How many bytes there must be before it is worth looking again."""
        self._unterminated = False
        """Its body ends with NUL, wherever that comes."""
        self._large: _Large | None = None
        """The frame that comes next, if it is a large one that has not come as a whole."""
        self._given: _Large | None = None
        """The last frame, if it was one; `_began` is below 0 then."""
        self.due_bytes = 0
        """How much of a large body is sure to come; 0: none is on its way."""

    def __repr__(self) -> str:
        return f"<Scanner waiting={self.waiting_bytes}>"

    @property
    def is_sized(self) -> bool:
        """Had the last frame a `content-length`?"""
        return self._sized

    @property
    def waiting_bytes(self) -> int:
        """Bytes that are not told into frames yet."""
        large = 0 if self._large is None else len(self._large.body)
        return large + len(self._late) + len(self._data) - self._at

    def feed(self, data: bytes | memoryview) -> None:
        """Take what the socket gave. Nothing of `data` is kept."""
        if self.due_bytes:
            data = self._grow(memoryview(data))
        late = self._late
        if self._at < len(self._data):
            late += memoryview(self._data)[self._at :]
        self._data, self._at = b"", 0
        if not late:
            self._data = bytes(data)
            return
        late += data
        if len(late) < self._need:
            return
        if self._unterminated and 0 not in bytes(data):
            if len(late) > self.body_bytes_max + HEAD_BYTES_MAX:
                raise BodyTooLarge(self.body_bytes_max)
            return
        self._data = bytes(late)
        late.clear()
        self._need, self._unterminated = 0, False

    def _grow(self, data: memoryview) -> memoryview:
        """Let a large body have what is its own; return what is behind it."""
        large = self._large
        assert large is not None
        its = data[: self.due_bytes]
        large.body += its
        self.due_bytes -= len(its)
        return data[len(its) :]

    def next(self) -> tuple[bytes, bytes | bytearray] | None:
        """The next frame: its head without `content-length`, and its body. None: it is not whole.

        Raises WireError.
        """
        if self._began < 0:
            self._given, self._began = None, 0
        if self._large is not None:
            return self._next_large(self._large)
        data = self._data
        at = self._at
        if at == len(data):
            return None
        self._from = at
        begin = self._began = _ends_of_lines(data, at).end()  # type: ignore[union-attr]
        end = data.find(b"\n\n", begin)
        start = end + 2
        if end < 0 or data.find(b"\r", begin, end) >= 0:
            blank = _end_of_head(data, begin)
            if blank is None:
                self._check_unfinished_head(data, begin)
                self._at = begin
                return None
            end, start = blank.span()
        if end - begin > HEAD_BYTES_MAX:
            raise WireError(f"the headers are larger than {HEAD_BYTES_MAX} bytes")
        head = data[begin:end]
        if 0 in head:
            raise WireError(_NUL_IN_HEAD)
        found = head.find(_LENGTH)
        self._sized = found >= 0
        if not self._sized:
            stop = data.find(b"\0", start)
            if stop < 0:
                self._await(begin, len(data) + 1, len(data) - start)
                self._unterminated = True
                return None
        else:
            line_end = head.find(b"\n", found + 1)
            if line_end < 0:
                line_end = len(head)
            size = _size(head[found + len(_LENGTH) : line_end])
            stop = start + size
            if stop >= len(data):
                self._await(begin, stop + 1, size)
                if size >= LARGE_BYTES:
                    self._large = _Large(head[:found] + head[line_end:], size, memoryview(data)[start:])
                    self.due_bytes = stop - len(data)
                    self._data, self._at, self._need = b"", 0, 0
                return None
            if data[stop]:
                raise WireError(_NO_NUL)
            head = head[:found] + head[line_end:]
        if stop - start > self.body_bytes_max:
            raise BodyTooLarge(self.body_bytes_max)
        self._body_at, self._at = start, stop + 1
        return head, data[start:stop]

    def _next_large(self, large: _Large) -> tuple[bytes, bytes | bytearray] | None:
        """The frame whose body has a buffer of its own, if what ends it has come."""
        if self.due_bytes or self._at == len(self._data):
            return None
        if self._data[self._at]:
            raise WireError(_NO_NUL)
        self._at += 1
        self._given, self._large, self._began = large, None, -1
        return large.head, large.body

    def alike(self) -> tuple[list[bytes], list[bytes]]:
        """Take all whole frames that follow and differ from the last one in nothing but their bodies and the
        receipts that they ask for, if they do; return these bodies and receipts. With a `content-length` the
        bodies have the same size."""
        data, at = self._data, self._at
        if at == len(data) or self._began < 0:
            return [], []
        size = at - 1 - self._body_at
        least, most = (size, size) if self._sized else (0, self.body_bytes_max)
        before, between = _parted(data[self._from : self._body_at])
        bodies: list[bytes] = []
        receipts: list[bytes] = []
        while data.startswith(before, at):
            start = at + len(before)
            if between:
                line_end = data.find(b"\n", start)
                receipt = data[start:line_end]
                if not data.startswith(between, line_end) or 0 in receipt:
                    break
                start = line_end + len(between)
            stop = data.find(b"\0", start + least)
            if not least <= stop - start <= most:
                break
            if between:
                receipts.append(receipt.strip())
            bodies.append(data[start:stop])
            at = stop + 1
        self._at = at
        return bodies, receipts

    def count_on(self, place: int, digits: bytes) -> int:
        """Take all whole frames that follow and differ from the last one in nothing but a number, which is
        always the next one; return the last number. `digits` stand at this place of its head."""
        number = int(digits)
        data, at = self._data, self._at
        if self._sized or at == len(data):
            return number
        start = self._began + place
        before, after = data[self._from : start], data[start + len(digits) : at]
        form = before.replace(b"%", b"%%") + b"%d" + after.replace(b"%", b"%%")
        while data.startswith(frame := form % (number + 1), at):
            at += len(frame)
            number += 1
        self._at = at
        return number

    def unread(self) -> None:
        """Let the frame that `next` has given be the next again."""
        if self._given is None:
            self._at = self._began
        else:
            self._large, self._given = self._given, None
            self._began = 0
            self._at -= 1

    def _await(self, begin: int, bytes_needed: int, body_bytes: int) -> None:
        if body_bytes > self.body_bytes_max:
            raise BodyTooLarge(self.body_bytes_max)
        self._at = begin
        self._need = bytes_needed - begin

    @staticmethod
    def _check_unfinished_head(data: bytes, begin: int) -> None:
        if len(data) - begin > HEAD_BYTES_MAX:
            raise WireError(f"the headers are larger than {HEAD_BYTES_MAX} bytes")
        if data.find(b"\0", begin) >= 0:
            raise WireError(_NUL_IN_HEAD)


def _parted(head: bytes) -> tuple[bytes, bytes]:
    """Of a head what is in front of the receipt that it asks for, and behind; or all and nothing."""
    found = head.find(RECEIPT)
    if found < 0:
        return head, b""
    start = found + len(RECEIPT)
    return head[:start], head[head.find(b"\n", start) :]


def cut_receipt(head: bytes) -> tuple[bytes, bytes | None]:
    """A head without the receipt that it asks for, and the name of that, as it is written; None: of none."""
    found = head.find(RECEIPT)
    if found < 0:
        return head, None
    stop = head.find(b"\n", found + 1)
    if stop < 0:
        stop = len(head)
    return head[:found] + head[stop:], head[found + len(RECEIPT) : stop].strip()


def _size(text: bytes) -> int:
    text = text.strip()
    if not text.isdigit() or len(text) > 12:
        raise WireError("content-length is no number")
    return int(text)


# --- heads -------------------------------------------------------------------------------------------

_UNESCAPED: Final[dict[str, dict[bytes, bytes]]] = {
    V11: {b"\\n": b"\n", b"\\c": b":", b"\\\\": b"\\"},
    V12: {b"\\n": b"\n", b"\\c": b":", b"\\\\": b"\\", b"\\r": b"\r"},
}
_ENDS: Final = {"\0": "\ufffd", "\n": "\\n"}
"""What would end a frame or a header: NUL has no form in any version, and 1.0 has none for a line end."""
_ESCAPED: Final[dict[str, dict[int, str]]] = {
    V10: str.maketrans(_ENDS),
    V11: str.maketrans(_ENDS | {"\\": "\\\\", ":": "\\c"}),
    V12: str.maketrans(_ENDS | {"\\": "\\\\", ":": "\\c", "\r": "\\r"}),
}
_escape = re.compile(rb"\\.?", re.DOTALL)


def read_head(head: bytes, version: str) -> tuple[str, dict[str, str]]:
    """Command and headers of a frame; of a header that is repeated the first counts. Raises WireError."""
    command, *lines = head.split(b"\n")
    if len(lines) > HEADERS_MAX:
        raise WireError(f"a frame has more than {HEADERS_MAX} headers")
    headers: dict[str, str] = {}
    try:
        for line in lines:
            name, colon, value = line.removesuffix(b"\r").partition(b":")
            if not colon or not name:
                raise WireError(f"a header has no {'name' if colon else 'colon'}")
            if version == V10:
                value = value.strip()
            elif b"\\" in line:
                name, value = _unescape(name, version), _unescape(value, version)
            headers.setdefault(name.decode(), value.decode())
        return command.removesuffix(b"\r").decode(), headers
    except UnicodeDecodeError:
        raise WireError("a header is no UTF-8") from None


def _unescape(text: bytes, version: str) -> bytes:
    known = _UNESCAPED[version]

    def plain(found: re.Match[bytes]) -> bytes:
        try:
            return known[found[0]]
        except KeyError:
            raise WireError("a header has an escape sequence that is not defined") from None

    return _escape.sub(plain, text)


def write_headers(headers: Iterable[tuple[str, str]], version: str) -> bytes:
    """Lines of headers. One whose name has a colon has no form in 1.0, and is left out."""
    table = _ESCAPED[version]
    if version == V10:
        headers = [header for header in headers if ":" not in header[0]]
    return "".join(
        [f"{name.translate(table)}:{value.translate(table)}\n" for name, value in headers]
    ).encode()


def write_frame(command: str, headers: Iterable[tuple[str, str]], body: bytes, version: str) -> bytes:
    """A whole frame, with its body's size if it has one."""
    head = command.encode() + b"\n" + write_headers(headers, version)
    if body:
        head += b"content-length:%d\n" % len(body)
    return head + b"\n" + body + b"\0\n"
