"""Destinations, subscribers and scheduled messages on the page, by a browser (A82)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from pillarbox import Broker
from tests.management.http import client
from tests.messaging.scene import Stomp, scene
from tests.web.conftest import sign_in
from tests.web.test_page import go, opened, row, said

pytestmark = pytest.mark.row("A82", "R124")


@pytest.fixture
def broker() -> Iterator[Broker]:
    with scene(management_port=0) as running:
        yield running


def cells(page: Page, name: str) -> list[str]:
    return row(page, name).get_by_role("cell").all_inner_texts()


def test_queues_and_topics_with_their_numbers(page: Page) -> None:
    go(page, "destinations")
    expect(row(page, "news.sport")).to_be_visible()
    assert [text.strip() for text in cells(page, "orders")] == [
        *("orders", "queue", "/", "3", "", "1", "3", "1", "0")
    ]
    assert cells(page, "news.sport")[3] == "2"
    expect(row(page, "plant.>").get_by_title("not known").first).to_have_text("\u2013")
    page.get_by_placeholder("filter by name").fill("news")
    expect(row(page, "orders")).to_have_count(0)
    row(page, "news.sport").get_by_role("link", name="news.sport").click()
    expect(page.get_by_role("heading", name="news.sport", level=1)).to_contain_text("topic in /")
    table = page.get_by_role("table", name="Subscribers")
    expect(table.get_by_role("row")).to_have_count(4)
    expect(table).to_contain_text("offline")


def test_a_queue_leads_to_its_page(page: Page) -> None:
    go(page, "destinations")
    row(page, "orders").get_by_role("link", name="orders").click()
    expect(page.get_by_role("heading", name="orders", level=1)).to_be_visible()
    expect(page.get_by_label("Explanation")).to_be_visible()


def test_subscribers_active_and_offline(page: Page) -> None:
    go(page, "subscribers")
    expect(row(page, "billing")).to_contain_text("offline")
    expect(row(page, "billing")).to_contain_text("all")
    audit = row(page, "audit")
    expect(audit).to_contain_text("active")
    expect(audit.locator("code")).to_have_text("colour = 'red'")
    expect(row(page, "sensor 1")).to_contain_text("plant.*.heat")
    audit.get_by_role("link", name="STOMP 1.2").click()
    expect(page.get_by_role("heading", name="127.0.0.1", level=1)).to_be_visible()


def test_connections_show_their_protocol(page: Page) -> None:
    go(page, "connections")
    expect(page.get_by_role("table", name="All connections").get_by_text("STOMP 1.2").first).to_be_visible()


def test_a_message_is_sent_with_headers_and_one_for_later(page: Page, broker: Broker) -> None:
    go(page, "destinations")
    form = opened(page, "Send a message")
    form.get_by_label("Name").fill("fresh")
    form.get_by_label("Correlation id").fill("c-1")
    form.get_by_label("Headers").fill("colour = red")
    form.get_by_label("Body").fill("hello")
    form.get_by_role("button", name="Send").click()
    said(page, "The message is sent to the queue fresh")
    expect(row(page, "fresh")).to_be_visible()
    reader = Stomp(broker)
    reader.subscribe("/queue/fresh")
    (frame,) = reader.got(1)
    assert (frame.body, frame.headers["colour"], frame.headers["correlation-id"]) == ("hello", "red", "c-1")
    form.get_by_label("Name").fill("postponed")
    form.get_by_label("Comes after").fill("600000")
    form.get_by_label("Body").fill("later")
    form.get_by_role("button", name="Send").click()
    said(page, "The message is sent to the queue postponed")
    table = page.get_by_role("table", name="Next messages of pillarbox.scheduled.queue")
    expect(table).to_contain_text("postponed")
    expect(table).to_contain_text("5 B")


def test_what_is_wrong_is_said_and_the_form_stays(page: Page) -> None:
    go(page, "destinations", "/", "topic", "news.sport")
    form = opened(page, "Send a message")
    form.get_by_label("Headers").fill("colour")
    form.get_by_label("Body").fill("hello")
    form.get_by_role("button", name="Send").click()
    said(page, "is not of the form name = value")
    form.get_by_label("Headers").fill("")
    form.get_by_label("Priority").fill("11")
    form.get_by_role("button", name="Send").click()
    said(page, "priority is 0 to 9")
    expect(form.get_by_label("Body")).to_have_value("hello")


def test_names_make_no_page(page: Page, broker: Broker) -> None:
    """What clients call things is text, whatever is in it."""
    name = "<img src=x onerror=alert(1)>/%2F?#"
    with client(broker) as api:
        assert (
            api.request("PUT", "queues/%2F/%3Cimg%20src=x%20onerror=alert(1)%3E%2F%252F%3F%23", {}).status
            == 201
        )
    go(page, "destinations")
    row(page, name).get_by_role("link", name=name).click()
    expect(page.get_by_role("heading", name=name, level=1)).to_be_visible()
    assert page.locator("main img").count() == 0


def test_where_nobody_speaks_them_the_menu_has_neither(browser: Browser) -> None:
    with Broker(management_port=0) as broker:
        page = browser.new_page()
        page.goto(broker.management_url)
        sign_in(page, "guest", "guest")
        menu = page.get_by_role("navigation", name="Views")
        expect(menu.get_by_role("link", name="Streams")).to_be_visible()
        assert menu.get_by_role("link", name="Subscribers").count() == 0
        page.close()
