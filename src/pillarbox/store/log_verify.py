"""Checking a partition log's folder without changing it: every batch, and what its index vouches for.

Purpose: find what an opening would refuse, and batches whose checksums do not hold where an opening does not
look, because the index of a segment vouches for it. What a crash may have left is no problem; an opening says
what becomes of it. Not here: putting anything in order (`log_recovery`).
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

from pillarbox.store.files import Files
from pillarbox.store.index import Entry, decode_entries
from pillarbox.store.log_io import LogFolder
from pillarbox.store.log_state import load_state
from pillarbox.store.segment import SEGMENT_SUFFIX, Scan, parse_name


class _Looked(NamedTuple):
    """One segment as it was read."""

    base: int
    offset_next: int
    size: int
    """Up to the first batch that is not intact."""
    records: int
    problem: str | None
    vouched: Entry | None
    """The last entry of its index."""


class Verified(NamedTuple):
    """What was found."""

    records: int
    problems: list[str]


def verify_log(files: Files, path: str) -> Verified:
    """Check the log in a folder. StoreError and OSError if it cannot be read. Cost: all of it is read."""
    folder = LogFolder(files, path)
    state = load_state(files, path)
    start = 0 if state is None else state.start
    bases = sorted(
        base for name in files.names(path) if (base := parse_name(name, SEGMENT_SUFFIX)) is not None
    )
    kept = [base for base, following in pairwise(bases) if following > start] + bases[-1:]
    swap = None if state is None else state.swap
    if swap is not None:
        # An opening puts something else there, which stands beside it by now, or in its place.
        kept = [base for base in kept if not swap[0] <= base < swap[1]]
    looked = [_look(folder, base) for base in kept]
    problems = list(_problems(folder, looked, swap))
    if state is None and looked:
        problems.append(f"{path} has lost its file `state`, or it is damaged")
    return Verified(sum([one.records for one in looked]), problems)


def _look(folder: LogFolder, base: int) -> _Looked:
    files = folder.files
    try:
        handle = files.open(folder.index_path(base))
    except FileNotFoundError:
        entries = []
    else:
        try:
            entries = decode_entries(base, files.read(handle, 0, files.size(handle)))
        finally:
            files.close(handle)
    handle = files.open(folder.segment_path(base))
    try:
        scan = Scan(files, handle, 0, base)
        records = sum(header.record_count for header in scan)
    finally:
        files.close(handle)
    last = entries[-1] if entries else None
    return _Looked(base, scan.offset, scan.position, records, scan.problem, last)


def _problems(folder: LogFolder, looked: list[_Looked], swap: tuple[int, int] | None) -> Iterator[str]:
    for place, one in enumerate(looked):
        path = folder.segment_path(one.base)
        later = looked[place + 1 :]
        vouched = one.vouched
        if vouched is not None and vouched.last_offset >= one.offset_next:
            why = one.problem or "its end"
            yield (
                f"{path} is damaged at byte {one.size}: there is {why}, and records up to offset "
                f"{vouched.last_offset} were stored safely"
            )
        elif later and any(_is_complete(other) for other in later):
            ends = one.offset_next, later[0].base
            if ends[0] != ends[1] and ends != swap:
                why = one.problem or f"nothing between offset {ends[0]} and the next segment"
                yield (
                    f"{path} is damaged at byte {one.size}: there is {why}, and records after it were stored "
                    "safely"
                )


def _is_complete(one: _Looked) -> bool:
    return one.vouched is not None and one.vouched.final
