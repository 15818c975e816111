"""Command line of the comparison; see the package."""

from __future__ import annotations

import sys
from functools import partial

from tests.compare_messaging.case import Case
from tests.compare_messaging.differences import DIFFERENCES
from tests.compare_messaging.peers import PEERS, pillarbox
from tests.compare_messaging.suite import RECORDINGS, SCENARIOS
from tests.transcripts import command
from tests.transcripts.registry import chosen
from tests.transcripts.report import expected


def record(words: list[str]) -> int:
    """Run scenarios on their peers and write the recordings."""
    dropped = 0
    for of_file in command.by_file(chosen(SCENARIOS, words)):
        with PEERS[of_file[0].module.PEER]() as target:
            dropped += command.record_file(RECORDINGS, SCENARIOS, of_file, target.name, partial(Case, target))
    return 1 if dropped else 0


def replay(words: list[str]) -> int:
    """Run scenarios on Pillarbox; print what differs from the recordings."""
    found = 0
    scenarios = chosen(SCENARIOS, words)
    meant = partial(expected, DIFFERENCES)
    for protocol in sorted({each.module.PROTOCOL for each in scenarios}):
        with pillarbox(protocol) as target:
            for each in scenarios:
                if protocol == each.module.PROTOCOL:
                    found += command.replay(RECORDINGS, each, meant, target.name, Case(target))
    print(f"{len(scenarios)} scenarios, {found} differ")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(command.main("tests.compare_messaging", __doc__, {"record": record, "replay": replay}))
