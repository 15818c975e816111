"""When certificates are over, as `openssl` made them, and what is none."""

from __future__ import annotations

import shutil
import ssl
import subprocess
from base64 import b64encode
from pathlib import Path

import pytest

from bench.peers import make_certificate
from pillarbox.certificates import ends_s


@pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl command to make certificates with")
@pytest.mark.row("R117")
def test_end_of_a_certificate_is_what_openssl_says(tmp_path: Path) -> None:
    certificate, key = make_certificate(tmp_path)
    command = ["openssl", "x509", "-in", certificate, "-noout", "-enddate"]
    shown = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
    text = Path(certificate).read_text()
    assert ends_s(text) == ssl.cert_time_to_seconds(shown.removeprefix("notAfter="))
    assert ends_s(f"words before it\n{text}{text}") == ends_s(text)
    with pytest.raises(ValueError, match="no certificate"):
        ends_s(Path(key).read_text())


@pytest.mark.parametrize("der", [b"", b"\x30", b"\x30\x03\x30\x01\x00", b"\x30\x84\xff\xff\xff\xff", b"text"])
def test_what_is_no_certificate_is_said_to_be_none(der: bytes) -> None:
    pem = f"{ssl.PEM_HEADER}\n{b64encode(der).decode()}\n{ssl.PEM_FOOTER}\n"
    with pytest.raises(ValueError, match="cannot be read"):
        ends_s(pem)
