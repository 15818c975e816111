"""`pillarbox`, but with small journal segments and frequent checkpoints.

Rotation, checkpoints, merging and compaction then happen within seconds of load and not within gigabytes.
The three numbers come from the environment: SMALL_SEGMENT, SMALL_CHECKPOINT (bytes) and SMALL_RECORDS.
"""

from __future__ import annotations

import functools
import os

from pillarbox.engine import local
from pillarbox.ops.cli import main

if __name__ == "__main__":
    segment_bytes = int(os.environ["SMALL_SEGMENT"])
    # The composition root takes the class from its module when it starts.
    local.LocalEngine = functools.partial(  # type: ignore[misc, assignment]
        local.LocalEngine,
        segment_bytes=segment_bytes,
        allocate_bytes=segment_bytes,
        checkpoint_bytes=int(os.environ["SMALL_CHECKPOINT"]),
        checkpoint_records=int(os.environ["SMALL_RECORDS"]),
    )
    main()
