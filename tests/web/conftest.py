"""A real browser, and pages in it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from pillarbox import Broker

expect.set_options(timeout=20_000)
CHROMIUM = shutil.which("chromium")


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Debian's Chromium."""
    if CHROMIUM is None:
        assert "CI" not in os.environ, "Debian's package chromium is not installed"
        pytest.skip("no chromium command (on Debian: apt-get install chromium)")
    with sync_playwright() as playwright:
        # Chromium's own sandbox needs rights that a container seldom has.
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def broker() -> Iterator[Broker]:
    with Broker(management_port=0) as broker:
        yield broker


@pytest.fixture
def page(browser: Browser, broker: Broker) -> Iterator[Page]:
    """The page, after signing in as guest. What it writes to the console as an error fails the test."""
    page = browser.new_page(viewport={"width": 1360, "height": 900})
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("console", lambda message: faults.append(message.text) if message.type == "error" else None)
    page.set_default_timeout(20_000)
    page.goto(broker.management_url)
    sign_in(page, "guest", "guest")
    page.get_by_role("heading", name="Overview", level=1).wait_for()
    yield page
    page.close()
    assert [fault for fault in faults if "Failed to load resource" not in fault] == []


def sign_in(page: Page, user: str, password: str) -> None:
    page.get_by_label("User").fill(user)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Sign in").click()
