"""The files of the page: served as they are, nothing from elsewhere, vendored ones as they were published."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from http.client import HTTPConnection, HTTPResponse
from urllib.parse import urlsplit

import pytest

from pillarbox import Broker
from pillarbox.ops.web.site import STATIC

FILES = sorted(path.relative_to(STATIC).as_posix() for path in STATIC.rglob("*") if path.is_file())
OURS = [name for name in FILES if not name.startswith("vendor/") and name.endswith((".js", ".html", ".css"))]


@pytest.fixture(scope="module")
def broker() -> Iterator[Broker]:
    with Broker(management_port=0) as broker:
        yield broker


def fetch(broker: Broker, path: str, method: str = "GET") -> tuple[HTTPResponse, bytes]:
    address = urlsplit(broker.management_url)
    connection = HTTPConnection(str(address.hostname), address.port or 0, timeout=30)
    connection.request(method, path)
    response = connection.getresponse()
    body = response.read()
    connection.close()
    return response, body


@pytest.mark.row("R124")
@pytest.mark.parametrize("name", FILES)
def test_every_file_is_served_as_it_is(broker: Broker, name: str) -> None:
    response, body = fetch(broker, f"/{name}")
    assert (response.status, body) == (200, (STATIC / name).read_bytes())
    assert "default-src 'self'" in str(response.getheader("content-security-policy"))


@pytest.mark.row("R124")
def test_root_is_the_page(broker: Broker) -> None:
    response, body = fetch(broker, "/")
    assert (response.status, body) == (200, (STATIC / "index.html").read_bytes())


@pytest.mark.parametrize(
    "path", ["/none", "/../site.py", "/%2e%2e/site.py", "/views/", "/vendor/../../live.py"]
)
def test_nothing_else_is_served(broker: Broker, path: str) -> None:
    assert fetch(broker, path)[0].status == 404


def test_page_is_only_read(broker: Broker) -> None:
    assert fetch(broker, "/index.html", "POST")[0].status == 405


@pytest.mark.parametrize("name", OURS)
def test_nothing_comes_from_elsewhere(name: str) -> None:
    """No outside download: every address in our files is relative, or names a format."""
    addresses = re.findall(r"https?://[^\s\"'`)]+", (STATIC / name).read_text())
    assert [one for one in addresses if not one.startswith("http://www.w3.org/")] == []


@pytest.mark.parametrize("name", OURS)
def test_every_import_exists(name: str) -> None:
    folder = (STATIC / name).parent
    for target in re.findall(r"from \"(\.[^\"]+)\"", (STATIC / name).read_text()):
        assert (folder / target).is_file(), target


def test_vendored_files_are_as_published() -> None:
    lines = (STATIC / "vendor" / "README.md").read_text().splitlines()
    rows = [re.findall(r"`([^`]+)`", line) for line in lines if line.startswith("| `")]
    assert len(rows) == 3
    for row in rows:
        assert hashlib.sha256((STATIC / "vendor" / row[0]).read_bytes()).hexdigest() == row[-1]
