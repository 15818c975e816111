"""Take the pictures of the web page that the docs show: `python -m scripts.screenshots`.

A broker in memory, a demonstration load, Debian's Chromium. `python -m scripts.screenshots FOLDER` takes all
views instead, light and dark, wide and as on a telephone, with long names among the others: to be looked at.
"""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, NamedTuple

from playwright.sync_api import Browser, Page, sync_playwright

from pillarbox import Broker
from pillarbox.ops.api_client import ApiClient
from scripts.demo import data_shop, shop

IMAGES = Path(__file__).parent.parent / "docs" / "images"
LOAD_S = 60
SETTLED_MS = 1500
"""A view has its documents and its charts by then."""
WIDE, NARROW = (1360, 860), (390, 844)
LONG = "a-name-without-any-place-to-break-" * 4
LONG_TOPIC = f"{LONG}topic"


class Look(NamedTuple):
    """How a page is looked at."""

    theme: Literal["light", "dark"]
    width: int
    height: int


IN_DOCS = (
    # The list of queues comes first: it has stood open since the beginning and has drawn its lines.
    ("queues", Look("light", *WIDE)),
    ("overview", Look("light", *WIDE)),
    ("queues/%2F/emails", Look("dark", *WIDE)),
    ("connections", Look("dark", *WIDE)),
    ("topics/sales", Look("light", *WIDE)),
    ("groups/analytics", Look("dark", *WIDE)),
)
VIEWS = (
    *(
        "overview",
        "connections",
        "channels",
        "exchanges",
        "exchanges/%2F/shop",
        "queues",
        "queues/%2F/emails",
    ),
    *("queues/%2F/events", f"queues/%2F/{LONG}", "streams", "users", "users/guest", "vhosts", "policies"),
    *(
        "definitions",
        "topics",
        "topics/sales",
        f"topics/{LONG_TOPIC}",
        "groups",
        "groups/analytics",
        f"groups/{LONG}",
    ),
)
LONG_NAMED = {
    f"/queues/%2F/{LONG}": {
        "durable": True,
        "arguments": {"x-max-length": 9, "x-dead-letter-exchange": LONG},
    },
    "/policies/%2F/a-policy-with-a-rather-long-name": {
        "pattern": "^(orders|emails|payments|thumbnails|invoices\\.dead)$",
        "definition": {"max-length": 1_000_000, "overflow": "reject-publish"},
    },
    "/users/an-auditor-with-a-long-name@example.com": {"password": "x", "tags": "monitoring,policymaker"},
    f"/kafka/topics/{LONG_TOPIC}": {"partitions": 1, "config": {"cleanup.policy": "compact,delete"}},
    f"/kafka/groups/{LONG}/offsets": {"topic": LONG_TOPIC, "to": "earliest"},
    "/vhosts/tests": {"description": "for the shop's own tests, emptied every night", "tags": "ci,nightly"},
}
LOOKS = (Look("light", *WIDE), Look("dark", *WIDE), Look("light", *NARROW))


def name_of(place: str, look: Look) -> str:
    """The file for a picture: `queues-one-dark.png`."""
    view, *one = place.split("/")
    what = f"-{one[-1][:12]}" if one and one[-1] != "emails" else "-one" if one else ""
    return f"{view}{what}-{look.theme}{'-narrow' if look.width == NARROW[0] else ''}.png"


def signed_in(browser: Browser, url: str, look: Look) -> Page:
    page = browser.new_page(viewport={"width": look.width, "height": look.height}, color_scheme=look.theme)
    page.goto(url)
    page.get_by_label("User").fill("guest")
    page.get_by_label("Password").fill("guest")
    page.get_by_role("button", name="Sign in").click()
    page.goto(f"{url}/#/queues")
    return page


def take(pages: dict[Look, Page], place: str, look: Look, folder: Path, *, whole: bool) -> None:
    page = pages[look]
    page.evaluate("place => { location.hash = place; }", f"#/{place}")
    page.wait_for_timeout(SETTLED_MS)
    path = folder / name_of(place, look)
    page.screenshot(path=path, full_page=whole)
    print(path)


@contextmanager
def opened(looks: set[Look], *, long_names: bool) -> Iterator[dict[Look, Page]]:
    """Pages of a broker that has had some load, by look."""
    with (
        Broker(management_port=0, kafka_port=0) as broker,
        shop(broker.amqp_url),
        data_shop(broker.kafka_bootstrap),
        sync_playwright() as playwright,
    ):
        if long_names:
            with ApiClient(broker.management_url) as api:
                for path, body in LONG_NAMED.items():
                    api.call("PUT", path, body)
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        pages = {look: signed_in(browser, broker.management_url, look) for look in looks}
        time.sleep(LOAD_S)
        yield pages
        browser.close()


def main(folder: str | None = None) -> int:
    if folder is None:
        IMAGES.mkdir(exist_ok=True)
        with opened({look for _, look in IN_DOCS}, long_names=False) as pages:
            for place, look in IN_DOCS:
                take(pages, place, look, IMAGES, whole=False)
    else:
        with opened(set(LOOKS), long_names=True) as pages:
            for look in LOOKS:
                for place in VIEWS:
                    take(pages, place, look, Path(folder), whole=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
