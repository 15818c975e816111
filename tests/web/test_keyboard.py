"""The page by keys alone (R124): where Tab goes, that one sees where one is, what Enter and Escape do."""

from __future__ import annotations

from collections.abc import Iterator

import pika
import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from pillarbox import Broker
from tests.management.http import Client, client

pytestmark = pytest.mark.row("R124")

# What has the focus, as a reader hears it; None if it cannot be seen that it has.
FOCUSED = """() => {
  const one = document.activeElement;
  const { outlineStyle, outlineWidth } = getComputedStyle(one);
  const { top, bottom, width } = one.getBoundingClientRect();
  const marked = outlineStyle !== 'none' && parseFloat(outlineWidth) >= 2;
  if (!marked || !width || top < 0 || bottom > innerHeight) return null;
  return one.ariaLabel || one.labels?.[0]?.textContent.trim() || one.textContent.trim();
}"""
VIEWS = ["Overview", "Connections", "Channels", "Exchanges", "Queues", "Streams"]
VIEWS += ["Users", "Virtual hosts", "Policies", "Definitions"]


@pytest.fixture
def api(broker: Broker) -> Iterator[Client]:
    with client(broker) as found:
        yield found


def stops(page: Page, key: str, count: int) -> list[str | None]:
    """Press the key so often; what had the focus each time."""
    found = []
    for _ in range(count):
        page.keyboard.press(key)
        found.append(page.evaluate(FOCUSED))
    return found


def enter(page: Page, link: str) -> None:
    """Open a view from the menu."""
    page.get_by_role("navigation", name="Views").get_by_role("link", name=link, exact=True).focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name=link, level=1)).to_be_visible()
    expect(page.locator("main")).to_be_focused()


def tab_to(page: Page, target: Locator) -> None:
    """Go on with Tab until the target has the focus, past at most 60 others."""
    for _ in range(60):
        page.keyboard.press("Tab")
        if target.evaluate("one => one === document.activeElement"):
            assert page.evaluate(FOCUSED) is not None, "the focus is seen"
            return
    raise AssertionError(f"Tab never comes to {target}")


def test_login_needs_no_mouse_and_waits_where_the_name_goes(browser: Browser, broker: Broker) -> None:
    page = browser.new_page()
    page.goto(broker.management_url)
    for password in ("wrong", "guest"):
        expect(page.get_by_label("User")).to_be_focused()
        page.keyboard.type("guest")
        page.keyboard.press("Tab")
        expect(page.get_by_label("Password")).to_be_focused()
        page.keyboard.type(password)
        page.keyboard.press("Enter")
        if password == "wrong":
            expect(page.get_by_role("alert")).to_have_text("Login failed")
            expect(page.get_by_label("Password")).to_be_focused()
            page.reload()
    expect(page.get_by_role("heading", name="Overview", level=1)).to_be_visible()
    page.get_by_role("button", name="Sign out").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_label("User")).to_be_focused()
    page.close()


def test_tab_goes_from_the_head_through_the_views_to_the_content(page: Page) -> None:
    page.keyboard.press("Escape")
    before = stops(page, "Shift+Tab", 14)
    assert before[9::-1] == VIEWS
    assert before[10:] == ["Sign out", "Colours: system", "Pillarbox", "Skip to the content"]
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()


def test_table_is_sorted_and_its_rows_opened_by_enter(page: Page, api: Client) -> None:
    for name, messages in (("apples", 0), ("pears", 1)):
        api.request("PUT", f"queues/%2F/{name}", {})
        for _ in range(messages):
            message = {"properties": {}, "routing_key": name, "payload": "x", "payload_encoding": "string"}
            api.request("POST", "exchanges/%2F/amq.default/publish", message)
    enter(page, "Queues")
    names = page.get_by_role("row").locator("td:first-child")
    expect(names).to_have_text(["apples", "pears"])
    heads = ["name", "virtual host", "state", "ready", "unacked", "total"]
    heads += ["incoming", "deliver", "ack", "consumers"]
    assert stops(page, "Tab", 14) == ["Filter by name", "regular expression", *heads, "apples", "pears"]
    page.get_by_role("button", name="ready").focus()
    head = page.get_by_role("columnheader", name="ready")
    for order, first in (("descending", "pears"), ("ascending", "apples")):
        page.keyboard.press("Enter")
        expect(head).to_have_attribute("aria-sort", order)
        expect(names.first).to_have_text(first)
        expect(page.get_by_role("button", name="ready")).to_be_focused()
    tab_to(page, page.get_by_role("link", name="pears"))
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="pears", level=1)).to_be_visible()
    expect(page.locator("main")).to_be_focused()


def test_form_opens_is_filled_and_sent_and_the_focus_stays(page: Page, broker: Broker) -> None:
    enter(page, "Queues")
    tab_to(page, page.locator("summary", has_text="Add a queue"))
    page.keyboard.press("Enter")
    labels = ["Virtual host", "Type", "Name", "Durability"]
    labels += ["Delete with the last consumer", "Arguments", "Add"]
    assert stops(page, "Tab", 3) == labels[:3]
    page.keyboard.type("first")
    page.keyboard.press("Enter")
    expect(page.get_by_role("link", name="first")).to_be_visible()
    expect(page.get_by_label("Name", exact=True)).to_be_focused()
    page.keyboard.type("second")
    assert stops(page, "Tab", 4) == labels[3:]
    page.keyboard.press("Enter")
    expect(page.get_by_role("link", name="second")).to_be_visible()
    expect(page.get_by_role("button", name="Add")).to_be_focused()
    assert (broker.queue("first").ready, broker.queue("second").ready) == (0, 0)


def test_dialog_begins_at_the_harmless_answer_keeps_the_focus_and_gives_it_back(
    page: Page, api: Client, broker: Broker
) -> None:
    api.request("PUT", "queues/%2F/orders", {})
    page.evaluate("location.hash = '#/queues/%2F/orders'")
    delete = page.get_by_role("button", name="Delete", exact=True)
    tab_to(page, delete)
    dialog = page.get_by_role("dialog")

    page.keyboard.press("Enter")
    expect(dialog).to_be_visible()
    # A dialog lets Tab out to the browser's own controls, never to the page behind it.
    held = [stop for stop in stops(page, "Tab", 8) if stop]
    assert set(held) == {"Cancel", "Delete it", "only if it has no consumer", "only if it is empty"}
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    expect(delete).to_be_focused()

    page.keyboard.press("Enter")
    expect(dialog.get_by_role("button", name="Cancel")).to_be_focused()
    page.keyboard.press("Enter")
    expect(dialog).to_be_hidden()
    expect(delete).to_be_focused()
    assert broker.queue("orders").ready == 0

    page.keyboard.press("Enter")
    tab_to(page, dialog.get_by_role("button", name="Delete it"))
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Queues", level=1)).to_be_visible()
    expect(page.locator("main")).to_be_focused()


def test_enter_in_a_field_of_a_dialog_does_what_the_dialog_is_for(page: Page, broker: Broker) -> None:
    connection = pika.BlockingConnection(pika.URLParameters(broker.amqp_url))
    enter(page, "Connections")
    tab_to(page, page.locator("tbody").get_by_role("link").first)
    page.keyboard.press("Enter")
    tab_to(page, page.get_by_role("button", name="Close connection"))
    page.keyboard.press("Enter")
    tab_to(page, page.get_by_label("Reason, told to the client"))
    page.keyboard.type("go home")
    page.keyboard.press("Enter")
    with pytest.raises(pika.exceptions.ConnectionClosedByBroker, match="go home"):
        connection.process_data_events(5)
