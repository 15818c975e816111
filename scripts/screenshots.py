"""Take the pictures of the web page that the docs show: `python -m scripts.screenshots`.

A broker in memory, a demonstration load, Debian's Chromium.
"""

from __future__ import annotations

import shutil
import sys
import time
from pathlib import Path

from playwright.sync_api import sync_playwright

from pillarbox import Broker
from scripts.demo import shop

IMAGES = Path(__file__).parent.parent / "docs" / "images"
LOAD_S = 60
SIZE = {"width": 1360, "height": 860}
PICTURES = (
    ("overview", "light"),
    ("queues", "light"),
    ("queues/%2F/emails", "dark"),
    ("connections", "dark"),
)


def main() -> int:
    IMAGES.mkdir(exist_ok=True)
    with Broker(management_port=0) as broker, shop(broker.amqp_url), sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        pages = {}
        for theme in {theme for _, theme in PICTURES}:
            page = browser.new_page(viewport=SIZE, color_scheme=theme)
            page.goto(broker.management_url)
            page.get_by_label("User").fill("guest")
            page.get_by_label("Password").fill("guest")
            page.get_by_role("button", name="Sign in").click()
            page.goto(f"{broker.management_url}/#/queues")
            pages[theme] = page
        time.sleep(LOAD_S)
        for place, theme in PICTURES:
            page = pages[theme]
            page.evaluate("place => { location.hash = place; }", f"#/{place}")
            time.sleep(6)
            path = IMAGES / f"{place.split('/')[0]}{'-one' if '/' in place else ''}-{theme}.png"
            page.screenshot(path=path)
            print(path.relative_to(IMAGES.parent.parent))
        browser.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
