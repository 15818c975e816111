"""What each API key does: a file for each, named as its messages, with one function `answer(call, request)`.

It returns the response, or None if the call is answered later or not at all (see `call`). Files are imported
when a client first asks for their key. Not here: layouts (`messages`), order of answers (`connection`).
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any, Final

from pillarbox.protocols.kafka.messages import APIS

RECORDS: Final = (0, 1, 2, 3, 18, 22)
"""Where topics are, and their records."""
GROUPS: Final = (8, 9, 10, 11, 12, 13, 14, 15, 16, 42, 47, 68, 69)
"""Groups of consumers and what they have read."""
SHARES: Final = (76, 77, 78, 79, 90, 91, 92)
"""Groups whose members share partitions, each record for one of them."""
TOPICS: Final = (19, 20, 32, 33, 37, 44)
"""Making and changing topics."""

CLUSTER: Final = (21, 23, 34, 35, 43, 45, 46, 48, 49, 55, 57, 60, 74, 75)
"""Looking at the cluster and its partitions, and what a cluster of one node can do of the rest."""
TRANSACTIONS: Final = (24, 25, 26, 27, 28, 61, 65, 66)
"""Transactions and their producers."""
LOGIN: Final = (17, 29, 30, 31, 36, 50, 51)
"""Saying who one is, and who there is."""
REFUSED: Final = (38, 39, 40, 41, 64, 80, 81, 88, 89)
"""What every broker of a release lists, and this one answers as a Kafka in which that is switched off or
cannot be: delegation tokens, other nodes and voters, streams groups."""

SERVED: Final = frozenset((*RECORDS, *GROUPS, *SHARES, *TOPICS, *CLUSTER, *TRANSACTIONS, *LOGIN, *REFUSED))
"""The keys that clients are offered."""

Handler = Callable[[Any, Any], Any]

_handlers: dict[int, Handler] = {}


def handler(key: int) -> Handler:
    """Return what answers this key, one of `SERVED`."""
    found = _handlers.get(key)
    if found is None:
        module = import_module(f"pillarbox.protocols.kafka.api.{APIS[key].module}")
        found = _handlers[key] = module.answer
    return found
