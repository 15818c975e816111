"""When certificates are over, as `openssl` made them."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import pytest

from bench.peers import make_certificate
from pillarbox.ops.certificate_expiry import DAY_MS, days_left


@pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl command to make certificates with")
@pytest.mark.row("R117")
def test_days_until_the_end_of_a_certificate(tmp_path: Path) -> None:
    certificate, key = make_certificate(tmp_path)
    now_ms = time.time_ns() // 1_000_000
    assert days_left(certificate, now_ms + 60_000) == 29
    assert days_left(certificate, now_ms + 31 * DAY_MS) < 0
    with pytest.raises(ValueError, match="has no certificate"):
        days_left(key, now_ms)
