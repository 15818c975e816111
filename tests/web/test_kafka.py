"""Kafka's side of the page, by a browser (R124): topics and groups shown, made, altered, reset, deleted."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from confluent_kafka import Consumer, Producer
from playwright.sync_api import Browser, Page, expect

from pillarbox import Broker
from tests.management.http import Client, client
from tests.web.conftest import sign_in
from tests.web.test_page import confirm, go, opened, row, said

pytestmark = pytest.mark.row("R124", "K57")
TIMEOUT_S = 20


@pytest.fixture
def broker() -> Iterator[Broker]:
    with Broker(management_port=0, kafka_port=0) as broker:
        yield broker


@pytest.fixture
def api(broker: Broker) -> Iterator[Client]:
    with client(broker) as found:
        yield found


@pytest.fixture
def orders(broker: Broker, api: Client) -> str:
    """A topic with five records in one of two partitions."""
    api.request("PUT", "kafka/topics/orders", {"partitions": 2})
    producer = Producer({"bootstrap.servers": broker.kafka_bootstrap})
    for number in range(4):
        producer.produce("orders", b"value %d" % number, b"key", partition=0, headers={"source": b"web"})
    producer.produce("orders", b"\xff\x00", partition=0)
    producer.flush(TIMEOUT_S)
    return "orders"


def test_topic_is_added_seen_and_deleted(page: Page, api: Client) -> None:
    go(page, "topics")
    form = opened(page, "Add a topic")
    form.get_by_label("Name").fill("orders")
    form.get_by_label("Partitions").fill("3")
    form.get_by_label("Configs").fill("retention.ms = 60000\ncleanup.policy = compact,delete")
    form.get_by_role("button", name="Add").click()
    said(page, "The topic orders is there")
    row(page, "orders").get_by_role("link", name="orders").click()
    expect(page.get_by_role("heading", name="orders", level=1)).to_be_visible()
    assert api.get("kafka/topics/orders")["config"]["cleanup.policy"] == "compact,delete"
    expect(page.locator(".chart canvas")).to_have_count(2)
    confirm(page, "Delete", "Delete it")
    said(page, "The topic orders is deleted")
    expect(page.get_by_text("no topic yet")).to_be_visible()
    assert api.get("kafka/topics") == []


def test_what_is_refused_is_said_and_the_form_stays(page: Page, api: Client) -> None:
    go(page, "topics")
    form = opened(page, "Add a topic")
    form.get_by_label("Name").fill("no name")
    form.get_by_role("button", name="Add").click()
    said(page, "Topic name is invalid")
    expect(form.get_by_label("Name")).to_have_value("no name")
    form.get_by_label("Name").fill("orders")
    form.get_by_label("Configs").fill("colour")
    form.get_by_role("button", name="Add").click()
    said(page, "is not of the form name = value")
    assert api.get("kafka/topics") == []


def test_configs_are_altered_and_put_back(page: Page, api: Client, orders: str) -> None:
    go(page, "topics", orders)
    form = opened(page, "Alter a config")
    form.get_by_label("Config").select_option("retention.ms")
    form.get_by_label("Value").fill("60000")
    form.get_by_role("button", name="Alter").click()
    said(page, "retention.ms is 60000")
    given = page.get_by_role("table", name="Configs that it was given")
    expect(given.get_by_role("row").filter(has_text="retention.ms")).to_contain_text("60000")
    given.get_by_role("button", name="As usual").click()
    said(page, "retention.ms is as usual")
    expect(given).to_contain_text("everything is as usual")
    assert api.get("kafka/topics/orders")["config"] == {}


def test_topic_gets_more_partitions(page: Page, api: Client, orders: str) -> None:
    go(page, "topics", orders)
    form = opened(page, "More partitions")
    form.get_by_label("So many in all").fill("4")
    form.get_by_role("button", name="Grow").click()
    said(page, "orders has 4 partitions")
    expect(page.get_by_role("table", name="Partitions").get_by_role("row")).to_have_count(5)
    assert api.get("kafka/topics/orders")["partitions"] == 4


def test_records_are_looked_at_as_text_and_in_hexadecimal(page: Page, orders: str) -> None:
    go(page, "topics", orders)
    page.get_by_label("How many").fill("2")
    page.get_by_role("button", name="Look").click()
    records = page.locator("article.message")
    expect(records).to_have_count(2)
    expect(records.first).to_contain_text("source: web")
    expect(page.get_by_label("Value at offset 3")).to_have_text("value 3")
    expect(page.get_by_label("Value at offset 4")).to_have_text("ff00")
    page.get_by_label("From offset").fill("0")
    page.get_by_label("Keys and values").select_option("hex")
    page.get_by_role("button", name="Look").click()
    expect(page.get_by_label("Value at offset 0")).to_have_text(b"value 0".hex())
    page.get_by_label("Partition", exact=True).select_option("1")
    page.get_by_label("From offset").fill("")
    page.get_by_role("button", name="Look").click()
    expect(page.get_by_text("the partition has no record there")).to_be_visible()
    page.get_by_label("From offset").fill("99")
    page.get_by_role("button", name="Look").click()
    said(page, "offset 99 is not within 0..0")


def test_group_shows_members_lag_and_why(page: Page, broker: Broker, orders: str) -> None:
    settings = {"group.id": "billing", "client.id": "worker-1", "auto.offset.reset": "earliest"}
    consumer = Consumer(
        {"bootstrap.servers": broker.kafka_bootstrap, "enable.auto.commit": False, **settings}
    )
    consumer.subscribe([orders])
    message = consumer.poll(TIMEOUT_S)
    assert message is not None
    consumer.commit(message, asynchronous=False)
    go(page, "groups")
    expect(row(page, "billing")).to_contain_text("Stable")
    row(page, "billing").get_by_role("link", name="billing").click()
    explanation = page.get_by_label("Explanation")
    expect(explanation).to_contain_text("Stable; 1 member; 4 behind in 2 partitions")
    expect(explanation).to_contain_text("orders/0 is 4 behind; read by worker-1 (127.0.0.1)")
    expect(page.get_by_role("table", name="Members")).to_contain_text("worker-1")
    expect(page.get_by_role("table", name="Offsets").get_by_title("not known")).to_have_text("?")
    confirm(page, "Delete", "Forget it")
    said(page, "group 'billing' has members")
    consumer.close()


def test_offsets_are_reset_and_the_group_is_forgotten(page: Page, api: Client, orders: str) -> None:
    api.request("PUT", "kafka/groups/audit/offsets", {"topic": orders, "to": "latest"})
    go(page, "groups", "audit")
    form = opened(page, "Reset offsets")
    form.get_by_label("Go on at").select_option("shift")
    form.get_by_label("Which").fill("two")
    form.get_by_role("button", name="Reset").click()
    said(page, "“two” is no number")
    form.get_by_label("Which").fill("-2")
    form.get_by_role("button", name="Reset").click()
    said(page, "audit goes on elsewhere in orders")
    expect(page.get_by_label("Explanation")).to_contain_text("2 behind")
    assert api.get("kafka/groups/audit")["lag"] == 2
    confirm(page, "Delete", "Forget it")
    said(page, "The group audit is gone")
    expect(page.get_by_text("no group yet")).to_be_visible()


def test_open_transactions_are_shown(page: Page, broker: Broker, orders: str) -> None:
    producer = Producer({"bootstrap.servers": broker.kafka_bootstrap, "transactional.id": "invoices"})
    producer.init_transactions(TIMEOUT_S)
    producer.begin_transaction()
    producer.produce(orders, b"x", partition=0)
    producer.flush(TIMEOUT_S)
    go(page, "topics")
    expect(page.get_by_role("table", name="Open transactions")).to_contain_text("orders/0")
    producer.abort_transaction(TIMEOUT_S)


def test_both_views_are_in_the_menu_and_open_by_keyboard(page: Page, orders: str) -> None:
    menu = page.get_by_role("navigation", name="Views")
    for title in ("Topics", "Groups"):
        menu.get_by_role("link", name=title, exact=True).focus()
        page.keyboard.press("Enter")
        expect(page.get_by_role("heading", name=title, level=1)).to_be_visible()
        expect(page.locator("main")).to_be_focused()
    assert page.get_by_role("alert").count() == 0


def test_where_kafka_is_off_the_menu_has_neither(browser: Browser) -> None:
    with Broker(management_port=0) as broker:
        page = browser.new_page()
        page.goto(broker.management_url)
        sign_in(page, "guest", "guest")
        menu = page.get_by_role("navigation", name="Views")
        expect(menu.get_by_role("link", name="Streams")).to_be_visible()
        assert menu.get_by_role("link", name="Topics").count() == 0
        page.evaluate("location.hash = '#/topics'")
        expect(page.get_by_role("alert").first).to_contain_text("Kafka's protocol is off here")
        page.close()
