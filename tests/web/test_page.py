"""Every action of the page, done by a browser (R124): what it shows comes true in the broker."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pika
import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from pillarbox import Broker
from tests.management.http import Client, client
from tests.web.conftest import sign_in

pytestmark = pytest.mark.row("R124")


@pytest.fixture
def api(broker: Broker) -> Iterator[Client]:
    with client(broker) as found:
        yield found


@pytest.fixture
def connection(broker: Broker) -> Iterator[pika.BlockingConnection]:
    parameters = pika.URLParameters(broker.amqp_url)
    parameters.client_properties = {"connection_name": "worker-3"}
    connection = pika.BlockingConnection(parameters)
    yield connection
    if connection.is_open:
        connection.close()


def go(page: Page, *place: str) -> None:
    page.evaluate("place => { location.hash = '#/' + place.map(encodeURIComponent).join('/'); }", list(place))


def opened(page: Page, title: str) -> Locator:
    """The form behind a title, opened."""
    more = page.locator("details", has=page.locator("summary", has_text=title)).last
    more.locator("summary").first.click()
    return more


def confirm(page: Page, button: str, answer: str) -> None:
    page.get_by_role("button", name=button, exact=True).first.click()
    page.get_by_role("dialog").get_by_role("button", name=answer, exact=True).click()


def said(page: Page, text: str) -> None:
    expect(page.locator(".notice").filter(has_text=text)).to_be_visible()


def row(page: Page, text: str) -> Locator:
    return page.get_by_role("row").filter(has_text=text).first


def test_wrong_password_is_said_and_nothing_shown(browser: Browser, broker: Broker) -> None:
    page = browser.new_page()
    page.goto(broker.management_url)
    sign_in(page, "guest", "wrong")
    expect(page.get_by_role("alert")).to_have_text("Login failed")
    assert page.get_by_role("navigation").count() == 0
    page.close()


@pytest.mark.parametrize("tags", ["management", "policymaker", "monitoring"])
def test_whoever_may_not_do_everything_stays_signed_in(browser: Browser, broker: Broker, tags: str) -> None:
    """What is refused is said, and is no end of the login: 401 from RabbitMQ's API means either."""
    with client(broker) as api:
        api.request("PUT", "users/clerk", {"password": "c", "tags": tags})
        api.request("PUT", "permissions/%2F/clerk", {"configure": "^mine", "write": "", "read": ".*"})
        api.request("PUT", "queues/%2F/theirs", {})
    page = browser.new_page()
    page.goto(broker.management_url)
    sign_in(page, "clerk", "c")
    expect(page.get_by_role("heading", name="Overview", level=1)).to_be_visible()
    go(page, "users")
    expect(page.get_by_role("alert")).to_have_text("Not administrator user")
    go(page, "queues", "/", "theirs")
    confirm(page, "Delete", "Delete it")
    said(page, "access to queue 'theirs' in vhost '/' refused for user 'clerk'")
    go(page, "overview")
    expect(page.get_by_role("heading", name="Overview", level=1)).to_be_visible()
    with client(broker) as api:
        api.request("DELETE", "users/clerk")
    expect(page.get_by_role("alert")).to_have_text("Login failed")
    page.close()


def test_overview_lives(page: Page, api: Client) -> None:
    tile = page.locator(".tile", has_text="Ready")
    expect(tile.locator(".value")).to_have_text("0")
    api.request("PUT", "queues/%2F/q", {})
    message = {"properties": {}, "routing_key": "q", "payload": "x", "payload_encoding": "string"}
    api.request("POST", "exchanges/%2F/amq.default/publish", message)
    expect(tile.locator(".value")).to_have_text("1", timeout=15_000)
    assert page.locator(".chart canvas").count() == 2


def test_every_view_opens_by_keyboard(page: Page) -> None:
    links = page.get_by_role("navigation", name="Views").get_by_role("link")
    titles = links.all_inner_texts()
    assert len(titles) == 10
    for number, title in enumerate(titles):
        links.nth(number).focus()
        page.keyboard.press("Enter")
        expect(page.get_by_role("heading", name=title, level=1)).to_be_visible()
        expect(links.nth(number)).to_have_attribute("aria-current", "page")
    assert page.get_by_role("alert").count() == 0


def test_slash_goes_to_the_filter(page: Page, api: Client) -> None:
    for name in ("apples", "pears"):
        api.request("PUT", f"queues/%2F/{name}", {})
    go(page, "queues")
    expect(row(page, "apples")).to_be_visible()
    page.keyboard.press("/")
    page.keyboard.type("pear")
    expect(page.get_by_role("row").filter(has_text="apples")).to_have_count(0)
    expect(row(page, "pears")).to_be_visible()


def test_colours_follow_the_choice(page: Page) -> None:
    colours = []
    for _ in range(3):
        colours.append(page.evaluate("getComputedStyle(document.body).backgroundColor"))
        page.get_by_role("button", name=re.compile("^Colours")).click()
    assert colours[1] != colours[2], "light and dark"
    page.reload()
    expect(page.get_by_role("heading", name="Overview", level=1)).to_be_visible()


def test_queue_is_added_emptied_and_deleted(page: Page, broker: Broker) -> None:
    go(page, "queues")
    form = opened(page, "Add a queue")
    form.get_by_label("Name").fill("orders")
    form.get_by_label("Arguments").fill("x-max-length = 100\nx-message-ttl = 60000")
    form.get_by_role("button", name="Add").click()
    said(page, "The queue orders is there")
    row(page, "orders").get_by_role("link", name="orders").click()
    expect(page.get_by_text("x-max-length: 100")).to_be_visible()

    form = opened(page, "Publish a message")
    form.get_by_label("Body").last.fill("hello")
    form.get_by_label("Headers").fill("tries = 3")
    form.get_by_role("button", name="Publish").click()
    said(page, "The message is published")
    form = opened(page, "Get messages")
    form.get_by_role("button", name="Get").click()
    expect(page.locator("article.message pre")).to_have_text("hello")
    expect(page.get_by_text("tries: 3")).to_be_visible()
    assert broker.queue("orders").ready == 1

    confirm(page, "Purge", "Purge it")
    said(page, "orders is purged")
    assert broker.queue("orders").ready == 0
    confirm(page, "Delete", "Delete it")
    said(page, "The queue orders is deleted")
    expect(page.get_by_role("heading", name="Queues", level=1)).to_be_visible()
    with pytest.raises(KeyError):
        broker.queue("orders")


def test_properties_are_texts_that_may_look_like_numbers(page: Page, api: Client) -> None:
    api.request("PUT", "queues/%2F/q", {})
    go(page, "queues", "/", "q")
    form = opened(page, "Publish a message")
    form.get_by_label("Properties").fill("expiration = 60000\nmessage_id = 42\ntype = true\npriority = 3")
    form.get_by_label("Headers").fill("x-number = 1\nx-yes = true")
    form.get_by_role("button", name="Publish").click()
    said(page, "The message is published")
    asked = {"count": 1, "ackmode": "ack_requeue_true", "encoding": "auto"}
    (got,) = api.request("POST", "queues/%2F/q/get", asked).document
    assert got["properties"] == {
        "expiration": "60000",
        "message_id": "42",
        "type": "true",
        "priority": 3,
        "delivery_mode": 1,
        "headers": {"x-number": 1, "x-yes": True},
    }


def test_messages_move_to_another_queue(page: Page, api: Client, broker: Broker) -> None:
    for name in ("here", "there"):
        api.request("PUT", f"queues/%2F/{name}", {})
    message = {"properties": {}, "routing_key": "here", "payload": "x", "payload_encoding": "string"}
    api.request("POST", "exchanges/%2F/amq.default/publish", message)
    go(page, "queues", "/", "here")
    form = opened(page, "Move messages")
    form.get_by_label("To the queue").fill("there")
    form.get_by_role("button", name="Move").click()
    said(page, "1 messages went from here to there")
    assert (broker.queue("here").ready, broker.queue("there").ready) == (0, 1)
    form.get_by_label("To the queue").fill("none")
    form.get_by_role("button", name="Move").click()
    said(page, "no queue 'none' in vhost '/'")


def test_queue_says_why_it_is_stuck(page: Page, api: Client, connection: pika.BlockingConnection) -> None:
    channel = connection.channel()
    channel.queue_declare("q")
    channel.basic_qos(prefetch_count=1)
    channel.basic_consume("q", lambda *_: None)
    for _ in range(3):
        channel.basic_publish("", "q", b"x")
    connection.process_data_events(0.2)
    go(page, "queues", "/", "q")
    explanation = page.get_by_role("region", name="Explanation")
    expect(explanation).to_contain_text("2 ready; 1 unacknowledged; 1 consumer")
    expect(explanation).to_contain_text("has its prefetch of 1 in hand")


def test_exchange_is_added_bound_published_to_and_deleted(page: Page, api: Client, broker: Broker) -> None:
    api.request("PUT", "queues/%2F/q", {})
    go(page, "exchanges")
    form = opened(page, "Add an exchange")
    form.get_by_label("Name").fill("shop")
    form.get_by_label("Type").select_option("topic")
    form.get_by_role("button", name="Add").click()
    said(page, "The exchange shop is there")
    go(page, "exchanges", "/", "shop")
    form = opened(page, "Bind a queue or an exchange")
    form.get_by_label("Name").fill("q")
    form.get_by_label("Routing key").fill("order.*")
    form.get_by_role("button", name="Bind").click()
    said(page, "q is bound")
    form = opened(page, "Publish a message")
    form.get_by_label("Routing key").fill("order.new")
    form.get_by_role("button", name="Publish").click()
    said(page, "The message is published")
    assert broker.queue("q").ready == 1
    row(page, "order.*").get_by_role("button", name="Unbind").click(timeout=15_000)
    said(page, "The binding is gone")
    confirm(page, "Delete", "Delete it")
    said(page, "The exchange shop is deleted")


def test_connection_is_shown_and_closed(page: Page, connection: pika.BlockingConnection) -> None:
    connection.channel().basic_qos(prefetch_count=7)
    go(page, "connections")
    row(page, "worker-3").get_by_role("link", name="worker-3").click(timeout=15_000)
    expect(page.get_by_role("heading", name="worker-3")).to_be_visible()
    page.get_by_role("button", name="Close connection").click()
    page.get_by_label("Reason, told to the client").fill("go home")
    page.get_by_role("button", name="Close it").click()
    said(page, "The connection is closed")
    with pytest.raises(pika.exceptions.ConnectionClosedByBroker, match="go home"):
        connection.process_data_events(5)


def test_channel_is_shown_with_its_consumers(page: Page, connection: pika.BlockingConnection) -> None:
    channel = connection.channel()
    channel.queue_declare("q")
    channel.basic_qos(prefetch_count=7)
    channel.basic_consume("q", lambda *_: None, consumer_tag="reader")
    go(page, "channels")
    page.get_by_role("row").nth(1).get_by_role("link").first.click(timeout=15_000)
    expect(row(page, "reader")).to_contain_text("7")


def test_user_is_added_permitted_and_deleted(page: Page, api: Client) -> None:
    go(page, "users")
    form = opened(page, "Add or change a user")
    form.get_by_label("Name").fill("clerk")
    form.get_by_label("Password").fill("secret")
    form.get_by_label("Tags").fill("management")
    form.get_by_role("button", name="Save").click()
    said(page, "The user clerk is saved")
    go(page, "users", "clerk")
    form = opened(page, "Set a permission")
    form.get_by_role("button", name="Set").click()
    said(page, "clerk may enter /")
    assert api.get("permissions/%2F/clerk")["configure"] == ".*"
    row(page, "/").get_by_role("button", name="Revoke").click(timeout=15_000)
    said(page, "The permission is gone")
    confirm(page, "Delete user", "Delete it")
    said(page, "The user clerk is deleted")
    assert api.request("GET", "users/clerk").status == 404


def test_virtual_host_is_added_and_deleted(page: Page, api: Client) -> None:
    go(page, "vhosts")
    form = opened(page, "Add a virtual host")
    form.get_by_label("Name").fill("tests")
    form.get_by_label("Description").fill("for tests")
    form.get_by_role("button", name="Add").click()
    said(page, "The virtual host tests is there")
    assert api.get("vhosts/tests")["description"] == "for tests"
    row(page, "for tests").get_by_role("button", name="Delete").click(timeout=15_000)
    page.get_by_role("dialog").get_by_role("button", name="Delete it").click()
    said(page, "The virtual host tests is deleted")


def test_policy_is_set_and_cleared(page: Page, api: Client) -> None:
    go(page, "policies")
    form = opened(page.locator("section", has_text="Operator policies").page, "Add or change one")
    form.get_by_label("Name", exact=True).fill("bounds")
    form.get_by_label("Names that fit").fill("^q")
    form.get_by_label("Definition").fill("max-length = 10")
    form.get_by_role("button", name="Save").click()
    said(page, "The policy bounds is saved")
    assert api.get("operator-policies/%2F/bounds")["definition"] == {"max-length": 10}
    row(page, "bounds").get_by_role("button", name="Clear").click(timeout=15_000)
    said(page, "The policy bounds is gone")


def test_stream_is_added(page: Page, api: Client) -> None:
    api.request("PUT", "queues/%2F/no-stream", {"durable": True})
    go(page, "streams")
    form = opened(page, "Add a stream")
    form.get_by_label("Name").fill("events")
    form.get_by_role("button", name="Add").click()
    said(page, "The queue events is there")
    expect(row(page, "events")).to_be_visible(timeout=15_000)
    assert api.get("queues/%2F/events?columns=type") == {"type": "stream"}
    message = {"properties": {}, "routing_key": "events", "payload": "x" * 5000, "payload_encoding": "string"}
    api.request("POST", "exchanges/%2F/amq.default/publish", message)
    expect(row(page, "events")).to_contain_text(re.compile(r"everything.*5\.\d KiB"))
    expect(page.get_by_text("no-stream")).to_have_count(0)


def test_definitions_go_out_and_come_in(page: Page, api: Client, tmp_path: Path) -> None:
    api.request("PUT", "queues/%2F/kept", {"durable": True})
    go(page, "definitions")
    with page.expect_download() as download:
        page.get_by_role("button", name="Download").click()
    file = tmp_path / "definitions.json"
    download.value.save_as(file)
    assert [queue["name"] for queue in json.loads(file.read_text())["queues"]] == ["kept"]
    api.request("DELETE", "queues/%2F/kept")
    page.get_by_label("File").set_input_files(file)
    expect(page.get_by_text("1 queues")).to_be_visible()
    page.get_by_role("button", name="Import").click()
    said(page, "The definitions are imported")
    assert api.get("queues/%2F/kept?columns=name") == {"name": "kept"}


@pytest.mark.parametrize("bad", ["x-max-length", "= 3"])
def test_what_is_typed_wrong_is_said(page: Page, bad: str) -> None:
    go(page, "queues")
    form = opened(page, "Add a queue")
    form.get_by_label("Name").fill("q")
    form.get_by_label("Arguments").fill(bad)
    form.get_by_role("button", name="Add").click()
    said(page, "is not of the form name = value")


def test_signing_out_forgets_the_password(page: Page) -> None:
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("button", name="Sign in")).to_be_visible()
    page.reload()
    expect(page.get_by_role("button", name="Sign in")).to_be_visible()


def test_names_are_shown_and_never_run(page: Page, api: Client) -> None:
    """What clients choose is text: markup in a name does nothing."""
    name = "<img src=x onerror=document.title='run'>"
    api.request("PUT", f"queues/%2F/{name.replace('<', '%3C').replace('>', '%3E').replace(' ', '%20')}", {})
    go(page, "queues")
    expect(page.get_by_role("link", name=name)).to_be_visible(timeout=15_000)
    assert page.title() != "run"


def test_narrow_screen_shows_where_one_is_and_nothing_beside_itself(page: Page, api: Client) -> None:
    """The menu is a line that scrolls, and long names break."""
    name = "a-queue-with-a-name-without-any-place-to-break-" * 3
    api.request("PUT", f"queues/%2F/{name}", {})
    page.set_viewport_size({"width": 390, "height": 800})
    for place in (("definitions",), ("queues",), ("queues", "/", name)):
        go(page, *place)
        expect(page.locator(".menu a[aria-current]")).to_be_in_viewport(ratio=1)
        expect(page.locator("h1").first).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, place
