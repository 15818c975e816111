"""Files of the operator: definitions and scripts. Not the broker's, whose one home is `store/files.py`."""

from __future__ import annotations

import json
import os
import stat
import sys
from pathlib import Path
from typing import Any

from pillarbox.errors import PillarboxError

STANDARD = "-"
"""Instead of a file: standard input or output."""

OWNER_ONLY = 0o600
EXECUTABLE = 0o755


def write_whole(path: str, text: str, mode: int) -> None:
    """Write a file with these rights; who reads it meanwhile finds the old one or the new one. What is no
    file, such as a pipe, is written to as it is. Raises PillarboxError.
    """
    try:
        if os.path.exists(path) and not stat.S_ISREG(os.stat(path).st_mode):
            Path(path).write_text(text, encoding="utf-8")
            return
        temporary = f"{path}.{os.getpid()}.new"
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as out:
            os.fchmod(out.fileno(), mode)
            out.write(text.encode())
        os.replace(temporary, path)
    except OSError as error:
        raise PillarboxError(f"cannot write {path}: {error.strerror}") from None


def read_json(path: str) -> Any:
    """The document in a file, or on standard input. Raises PillarboxError."""
    try:
        return json.loads(sys.stdin.buffer.read() if path == STANDARD else Path(path).read_bytes())
    except OSError as error:
        raise PillarboxError(f"cannot read {path}: {error.strerror}") from None
    except ValueError as error:
        source = "standard input" if path == STANDARD else path
        raise PillarboxError(f"{source} is no JSON: {error}") from None
