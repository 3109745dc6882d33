"""Two companies, their consoles in a real browser: a whole story by clicks, then every page, in light and dark."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from tests.support.console import Console, Scheme, chromium, pair_by_clicks, share_by_clicks, subscribe_by_clicks
from tests.support.organization import Organization, stop_all, wait_for
from tests.support.ports import free_ports

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

FAST = ("timing.reconnect_initial_s=0.05", "timing.reconnect_max_s=0.2")
EARLIER, LATER = 5, 8
PAGES = (
    "/map", "/subscriptions", "/subscriptions/flights", "/subscribe", "/shares", "/shares/new", "/share/flights",
    "/topics", "/topics/acme.departures", "/peers", "/peers/acme.example", "/pair", "/pair?way=accept",
    "/certificates", "/translate", "/audit", "/nowhere",
)  # fmt: skip


@dataclass
class Companies:
    acme: Organization
    globex: Organization
    browser: Browser
    translated: str


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as started:
        yield started


def organization(home: Path, org: str) -> Organization:
    made = Organization.init(home, org)
    made.settings = (*FAST, f"listen.enrolment=127.0.0.1:{free_ports(1)[0]}")
    return made


def flights(first: int, count: int) -> Iterator[dict[str, object]]:
    return ({"key": f"N{number}", "value": {"flight": number}} for number in range(first, first + count))


@pytest.fixture(scope="module")
def companies(tmp_path_factory: pytest.TempPathFactory, browser: Browser) -> Iterator[Companies]:
    """The story: what two operators do with their mouse, from two fresh gateways to a translated offset."""
    home = tmp_path_factory.mktemp("console")
    acme, globex = organization(home / "acme", "acme.example"), organization(home / "globex", "globex.example")
    with stop_all(acme, globex):
        acme.start()
        globex.start()
        yield Companies(acme, globex, browser, story(browser, acme, globex))


def story(browser: Browser, acme: Organization, globex: Organization) -> str:
    """What the console of globex answers for an offset."""
    ours, theirs = Console.open(browser, acme), Console.open(browser, globex)

    # 1. acme makes a topic, which has some records before anybody shares it.
    ours.go("/topics")
    ours.page.get_by_label("Name", exact=True).fill("departures")
    ours.page.get_by_role("button", name="Make the topic").click()
    expect(ours.page.get_by_role("link", name="departures")).to_be_visible()
    acme.append("departures", flights(0, EARLIER))

    # 2. They pair: an invite one way, its words another, and six words compared.
    pair_by_clicks(ours, theirs)
    for console in (ours, theirs):
        console.go("/peers")
        expect(console.page.get_by_text("linked", exact=True)).to_be_visible()

    # 3. acme shares the topic and grants it; globex subscribes, from the next record on.
    share_by_clicks(ours, "flights", "departures", "globex.example")
    subscribe_by_clicks(theirs, "acme.example", "flights", "latest")
    page = theirs.page
    expect(page.get_by_role("region", name="Lanes").get_by_text("running")).to_be_visible()

    # 4. Records arrive while one looks, without a reload, and can be read.
    acme.append("departures", flights(EARLIER, LATER))
    copied = page.locator(".figures > div", has=page.get_by_text("Copied", exact=True)).locator("dd").first
    expect(copied).to_have_text(str(LATER))
    expect(page.get_by_role("img", name="Behind, records")).to_be_visible()
    page.get_by_role("button", name="Compare both logs").click()
    expect(page.get_by_text(f"{LATER} records in 1 lane")).to_be_visible()
    page.get_by_role("link", name="acme.departures").last.click()
    page.get_by_role("button", name="Show the newest records").click()
    expect(page.get_by_text('{"flight":12}')).to_be_visible()

    # 5. An offset is typed, and its copy's offset read.
    theirs.go("/subscriptions/flights")
    page.get_by_role("link", name="Translate an offset").click()
    page.get_by_label("Source offset").fill(str(EARLIER + 2))
    expect(page.get_by_text("Exact: the same record is at both offsets.")).to_be_visible()
    translated = page.locator(".place .offset").last.inner_text()

    # 6. acme sees who reads, and that all of it stands in the audit log.
    ours.go("/share/flights")
    expect(ours.page.get_by_role("region", name="Who has flights").get_by_text("1 lane")).to_be_visible()
    ours.go("/audit")
    for action in ("peer.approved", "share.created", "grant.created"):
        expect(ours.page.get_by_role("region", name="Audit log").get_by_text(action, exact=True)).to_be_visible()
    ours.close()
    theirs.close()
    return translated


def test_a_whole_story_by_clicks_between_two_companies(companies: Companies) -> None:
    assert companies.translated == "2"
    command = companies.globex.mesh(
        "offsets", "translate", "flights", "--topic", "departures", "--partition", "0", "--offset", "7", "--json"
    )
    assert command.json["destination_offset"] == 2


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_page_is_good_for_keyboards_and_screen_readers(companies: Companies, scheme: Scheme) -> None:
    rules = ("color-contrast", "link-in-text-block") if scheme == "dark" else ()  # all else is the same in both
    login = Console.at_login(companies.browser, companies.globex, scheme)
    login.page.goto(login.url)
    expect(login.page.get_by_label("Admin token")).to_be_focused()
    faults = {"login": login.axe(*rules)}
    login.close()
    console = Console.open(companies.browser, companies.globex, scheme)
    for path in PAGES:
        console.go(path)
        faults[path] = console.axe(*rules)
        assert console.page.locator("main h1").count() == 1, path
    console.close()
    assert {path: found for path, found in faults.items() if found} == {}


def test_plots_and_numbers_are_as_people_read_them(companies: Companies) -> None:
    """What the pages' own modules answer, asked in the browser that runs them."""
    console = Console.open(companies.browser, companies.globex)

    def ask(module: str, expression: str) -> object:
        return console.page.evaluate(f"import('/console/{module}.js').then((m) => ({expression}))")

    assert ask("plot", "[0, 1, 3, 10, 11, 401].map(m.roundUp)") == [1, 1, 4, 10, 20, 1000]
    points = "[[0, 1], [2, 2], [4, null], [6, 3], [30, 4]]"
    assert ask("plot", f"m.stretches({points}, 7)") == [[[0, 1], [2, 2]], [[6, 3]], [[30, 4]]]
    samples = "[[0, 5, 0, 1, null, 0], [2000, 9, 10, null, 2, 0], [4000, 1, 0, 3, 4, 0]]"
    assert ask("plot", f"m.series({samples}).records") == [[2000, 2], [4000, None]]
    assert ask("format", "[0, 0.4, 90, 7200, 86400 * 3, 86400 * 3650].map(m.span)") == [
        "0 s", "< 1 s", "90 s", "2 h", "3 d", "10 y",
    ]  # fmt: skip
    assert ask("format", "[null, 1234567, NaN].map(m.count)") == ["–", "1\u2009234\u2009567", "–"]  # noqa: RUF001
    assert ask("format", "[999, 1000, 123456].map(m.short)") == ["999", "1k", "123k"]
    assert ask("dom", "m.plain('a\\u202eb\\u0000')") == "a\\u202eb\\u0000"
    console.close()


def test_pages_fit_a_narrow_window(companies: Companies) -> None:
    console = Console.open(companies.browser, companies.globex, viewport={"width": 400, "height": 800})
    for path in PAGES:
        console.go(path)
        assert console.page.evaluate("document.documentElement.scrollWidth <= innerWidth"), path
    console.close()


def test_the_token_logs_in_and_what_is_no_token_does_not(companies: Companies) -> None:
    acme = companies.acme
    console = Console.at_login(companies.browser, acme)
    page = console.page
    page.goto(console.url)
    page.get_by_label("Admin token").fill("wrong")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("This is no valid admin token of this gateway")

    token = (acme.home / "state" / "admin.token").read_text().split()[0]
    page.get_by_label("Admin token").fill(token)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="What flows where")).to_be_visible()
    assert token not in page.content()
    (cookie,) = console.context.cookies()
    assert (cookie["httpOnly"], cookie["sameSite"], cookie["path"]) == (True, "Strict", "/console/")

    page.reload()
    expect(page.get_by_role("heading", name="What flows where")).to_be_visible()
    page.get_by_role("button", name="Log out").click()
    expect(page.get_by_label("Admin token")).to_be_visible()
    page.reload()
    expect(page.get_by_label("Admin token")).to_be_visible()
    console.close()


def test_a_menu_and_a_form_by_keyboard_alone(companies: Companies) -> None:
    console = Console.open(companies.browser, companies.acme)
    page = console.page
    page.keyboard.press("Tab")
    page.get_by_role("link", name="Shares").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="What we offer")).to_be_focused()
    page.get_by_role("link", name="New share").focus()
    page.keyboard.press("Enter")
    page.get_by_label("Name", exact=True).focus()
    page.keyboard.type("flights")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("flights")
    expect(page.get_by_label("Name", exact=True)).to_have_value("flights")
    console.close()


def test_what_a_partner_wrote_is_shown_as_text(companies: Companies) -> None:
    """A record, as anything else of a partner: markup is text, and what turns the reading direction is shown."""
    value = "<img src=x onerror=alert(1)> \u202etxt.exe"
    companies.acme.append("departures", iter([{"key": "<b>", "value": value}]))
    console = Console.open(companies.browser, companies.acme)
    console.go("/topics/departures")
    console.page.get_by_role("button", name="Show the newest records").click()
    expect(console.page.get_by_text("<img src=x onerror=alert(1)> \\u202etxt.exe")).to_be_visible()
    assert console.page.locator("main img").count() == 0
    console.close()


def test_what_stands_still_is_said_and_the_page_lives_on(companies: Companies) -> None:
    console = Console.open(companies.browser, companies.globex)
    console.go("/map")
    companies.acme.kill()
    expect(
        console.page.get_by_role("region", name="What needs you").get_by_text("No link to acme.example")
    ).to_be_visible()
    companies.acme.start()
    expect(console.page.get_by_role("region", name="What needs you")).to_have_count(0)

    companies.globex.kill()
    expect(console.page.get_by_text("not live")).to_be_visible()
    companies.globex.start()
    # a session ends with the process that gave it
    expect(console.page.get_by_label("Admin token")).to_be_visible()
    console.close()
    wait_for("the mirror to go on", lambda: companies.globex.lanes()[0]["state"] == "running")
