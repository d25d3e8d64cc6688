"""The pickers in a page of another origin: by keyboard, in forms, through every state."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from contract.support import API_MODELS, MODELS, Site, models
from harness import GUARD, Reply, Seen, Upstream
from playwright.sync_api import Locator, Page, expect

from .conftest import Demo, Watched, html, shoot, violations

DOCS = Path(__file__).resolve().parents[3] / "docs"
MODEL_ROWS = [
    {"slug": "acme/chat-1", "display_name": "Chat One", "modality": "chat", "context_window": 128000},
    {"slug": "acme/embed", "display_name": "Embed", "modality": "embedding", "context_window": 8191},
    {"slug": "other/chat-2", "display_name": "Chat Two", "modality": "chat", "max_output_tokens": 16384},
    {"slug": "other/old", "display_name": "Old One", "modality": "chat", "status": "deprecated"},
]
PAGE = """<!doctype html><html lang="en"><title>Canvas</title><main><h1>Canvas</h1>
<script type="module">
  import {{ configure }} from "{base}/console/pickers.js";
  window.asked = [];
  window.token = "{token}";
  const give = ({{ renew }}) => {{ asked.push(renew); return renew ? "{token}" : token; }};
  configure({{ poll: 0, token: give }});
  window.configure = configure;
  window.changes = [];
  addEventListener("change", (event) => changes.push(event.target.value));
</script>
<form>{body}<button>Go</button><button type="reset">Reset</button></form></main></html>"""

Open = Callable[..., Page]


@pytest.fixture
def opened(page: Page, canvas: Upstream, site: Site) -> Open:
    """Open a page of the canvas with this in its form."""

    def open_(body: str, token: str | None = None) -> Page:
        base = f"http://127.0.0.1:{site.server.port}"
        page.goto(html(canvas, PAGE.format(base=base, token=token or site.issuer.token(), body=body)))
        return page

    return open_


@pytest.fixture
def box(opened: Open, site: Site) -> Locator:
    """The input of a required model picker with four models."""
    site.grid.on(MODELS, {"data": MODEL_ROWS})
    page = opened('<scai-model-picker name="model" label="Model" required></scai-model-picker>')
    expect(page.get_by_role("combobox", name="Model", exact=True)).to_have_attribute(
        "placeholder", "Search or choose"
    )
    return page.get_by_role("combobox", name="Model", exact=True)


def names(page: Page) -> list[str]:
    """The options that are seen."""
    return page.locator(".option .name").all_inner_texts()


def value(page: Page) -> str:
    """What the form would send as the model."""
    return page.evaluate("() => new FormData(document.forms[0]).get('model')")


def test_the_eight_lines_of_the_docs_work(page: Page, canvas: Upstream, demo: Demo) -> None:
    """Copied into a file, with address and token put in, they are a working model picker."""
    block = re.search(r"^```html\n(.*?)^```$", (DOCS / "pickers.md").read_text(), re.MULTILINE | re.DOTALL)
    assert block is not None
    assert 8 == len(block[1].splitlines())
    text = block[1].replace("https://lookups.example", demo.url).replace("YOUR_TOKEN", demo.tokens["viewer"])
    page.goto(html(canvas, text))
    box = page.get_by_role("combobox", name="Model", exact=True)
    box.fill("gpt-4o mini")
    expect(page.locator(".option")).to_have_count(1)
    box.press("Enter")
    assert "openai/gpt-4o-mini" == value(page)


def test_every_sample_of_the_docs_loads(page: Page, canvas: Upstream, demo: Demo) -> None:
    """Each element that the page shows finds its rows."""
    text = (DOCS / "pickers.md").read_text()
    samples = [line for line in text.splitlines() if line.startswith("<scai-")]
    assert len(samples) >= 4
    scope = page.request.get(
        f"{demo.url}/api/v1/scaiqueue/scopes", headers={"Authorization": f"Bearer {demo.tokens['viewer']}"}
    ).json()["data"][0]["id"]
    body = "\n".join(samples).replace("SCOPE_ID", scope)
    page.goto(html(canvas, PAGE.format(base=demo.url, token=demo.tokens["viewer"], body=body)))
    page.wait_for_function("!!customElements.get('scai-queue-picker')")
    page.evaluate("(scope) => { document.querySelector('scai-queue-picker').scope = scope; }", scope)
    for number in range(len(samples)):
        picker = page.locator("form > *").nth(number)
        page.wait_for_function("(node) => node.rows?.length > 0", arg=picker.element_handle())


def test_by_keyboard_alone(box: Locator, page: Page) -> None:
    """Down opens, arrows move and come round, Enter chooses, and the value is the form's."""
    box.focus()
    page.keyboard.press("ArrowDown")
    expect(box).to_have_attribute("aria-expanded", "true")
    page.keyboard.press("ArrowDown")
    expect(page.locator(".option.active .name")).to_have_text("Embed")
    page.keyboard.press("ArrowUp")
    page.keyboard.press("ArrowUp")
    expect(page.locator(".option.active .name")).to_contain_text("Old One")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    expect(box).to_have_attribute("aria-expanded", "false")
    expect(box).to_have_value("Chat One")
    assert ("acme/chat-1", ["acme/chat-1"]) == (value(page), page.evaluate("changes"))


def test_the_active_option_is_told(box: Locator, page: Page) -> None:
    """aria-activedescendant names the option that is active, while the list is open."""
    box.press("ArrowDown")
    active = page.locator("#" + (box.get_attribute("aria-activedescendant") or "none"))
    expect(active).to_have_attribute("role", "option")
    box.press("Escape")
    expect(box).not_to_have_attribute("aria-activedescendant", re.compile("."))


def test_escape_closes_then_clears(box: Locator, page: Page) -> None:
    """The first closes the list and keeps the value, the second clears it."""
    box.press_sequentially("embed")
    box.press("Enter")
    box.press("ArrowDown")
    box.press("Escape")
    assert "acme/embed" == value(page)
    box.press("Escape")
    assert "" == value(page)


def test_paging_keys_and_alt(box: Locator, page: Page) -> None:
    """PageDown goes far and stops at the end; Alt with an arrow opens and closes."""
    box.press("Alt+ArrowDown")
    expect(box).to_have_attribute("aria-expanded", "true")
    box.press("PageDown")
    box.press("PageDown")
    expect(page.locator(".option.active .name")).to_contain_text("Old One")
    box.press("Alt+ArrowUp")
    expect(box).to_have_attribute("aria-expanded", "false")


def test_search_by_label_and_id(box: Locator, page: Page) -> None:
    """Words are looked for in label and id, and how many were found is told."""
    box.fill("chat two")
    assert ["Chat Two"] == names(page)
    box.fill("ACME/")
    assert ["Chat One", "Embed"] == names(page)
    expect(page.get_by_role("status")).to_have_text("2 found.")
    box.fill("nowhere")
    expect(page.locator(".note")).to_have_text("Nothing matches “nowhere”.")


def test_leaving_a_search_changes_nothing(box: Locator, page: Page) -> None:
    """Half a search is no choice; an emptied input is one."""
    box.fill("embed")
    box.press("Enter")
    box.fill("chat")
    box.press("Tab")
    expect(box).to_have_value("Embed")
    box.fill("")
    box.press("Tab")
    assert "" == value(page)


def test_groups_and_limits_are_shown(box: Locator, page: Page) -> None:
    """Options stand in named groups, with context window and output limit in short."""
    box.click()
    expect(page.get_by_role("group", name="acme")).to_contain_text("128K context")
    expect(page.get_by_role("group", name="other")).to_contain_text("16K output")
    assert [] == violations(page)


def test_filter_by_modality(box: Locator, page: Page) -> None:
    """The select beside it keeps one modality; the attribute fixes it and takes the select away."""
    page.get_by_role("combobox", name="Only of one modality").select_option("embedding")
    box.click()
    assert ["Embed"] == names(page)
    page.evaluate("document.querySelector('scai-model-picker').setAttribute('modality', 'chat')")
    assert 3 == len(names(page))
    expect(page.get_by_role("combobox", name="Only of one modality")).to_be_hidden()


def test_what_is_deprecated_is_marked(box: Locator, page: Page) -> None:
    """A model to be careful with is grey, and says why in a word."""
    box.click()
    expect(page.locator(".option.concern .badge")).to_have_text("deprecated")


def test_a_required_picker_is_invalid_until_chosen(box: Locator, page: Page) -> None:
    """It holds the form back and is shown as wrong, until something is chosen."""
    expect(box).to_have_attribute("aria-invalid", "false")
    assert not page.evaluate("document.forms[0].reportValidity()")
    expect(box).to_have_attribute("aria-invalid", "true")
    expect(box).to_be_focused()
    box.fill("embed")
    box.press("Enter")
    expect(box).to_have_attribute("aria-invalid", "false")
    assert page.evaluate("document.forms[0].checkValidity()")


def test_reset_gives_back_the_first_value(opened: Open, site: Site) -> None:
    """A form's reset puts the value of the attribute back."""
    site.grid.on(MODELS, {"data": MODEL_ROWS})
    page = opened('<scai-model-picker name="model" label="Model" value="acme/embed"></scai-model-picker>')
    box = page.get_by_role("combobox", name="Model", exact=True)
    expect(box).to_have_value("Embed")
    box.fill("two")
    box.press("Enter")
    page.get_by_role("button", name="Reset").click()
    expect(box).to_have_value("Embed")
    assert "acme/embed" == value(page)


def test_a_fieldset_disables_it(opened: Open, site: Site) -> None:
    """Disabled by what stands around it, it takes no focus and sends nothing."""
    page = opened(
        '<fieldset disabled><scai-model-picker name="model" label="Model"></scai-model-picker></fieldset>'
    )
    expect(page.get_by_role("combobox", name="Model", exact=True)).to_be_disabled()
    assert page.evaluate("!new FormData(document.forms[0]).has('model')")


def test_the_pages_own_label_names_it(opened: Open) -> None:
    """<label for> names the input and leads to it."""
    page = opened(
        '<label for="m">Which model</label><scai-model-picker id="m" name="model"></scai-model-picker>'
    )
    page.get_by_text("Which model").click()
    expect(page.get_by_role("combobox", name="Which model")).to_be_focused()


def test_what_is_no_longer_offered_is_kept_and_said(opened: Open, site: Site) -> None:
    """A saved value that has gone stays the value, struck through."""
    page = opened('<scai-model-picker name="model" label="Model" value="acme/gone"></scai-model-picker>')
    expect(page.get_by_role("status")).to_have_text("What was chosen is no longer offered.")
    assert "acme/gone" == value(page)


def test_an_error_shows_its_fix_and_retries(opened: Open, site: Site) -> None:
    """Message and fix are read out; trying again by keyboard brings the rows."""
    site.grid.on(
        MODELS, Reply({"error": {"code": "BROKEN", "message": "it broke"}}, 500), {"data": MODEL_ROWS}
    )
    page = opened('<scai-model-picker name="model" label="Model"></scai-model-picker>')
    alert = page.get_by_role("alert")
    expect(alert).to_contain_text("BROKEN: it broke")
    expect(alert).to_contain_text("the operator of scaigrid must look at it")
    assert [] == violations(page)
    shoot(page, "picker-error")
    page.get_by_role("button", name="Try again").press("Enter")
    expect(alert).to_be_hidden()
    expect(page.get_by_role("combobox", name="Model", exact=True)).to_be_focused()


def test_loading_then_empty(opened: Open, site: Site) -> None:
    """While it is asked it says so; a list of nothing says that."""
    seen = threading.Event()

    def slow(_: Seen) -> Reply:
        seen.wait(GUARD)
        return Reply({"data": []})

    site.grid.on(MODELS, slow)
    page = opened('<scai-model-picker name="model" label="Model" poll="1"></scai-model-picker>')
    box = page.get_by_role("combobox", name="Model", exact=True)
    expect(box).to_have_attribute("placeholder", "Loading…")
    seen.set()
    expect(page.get_by_role("status")).to_have_text("There is nothing to choose from.")


def test_a_refused_token_is_asked_anew_once(opened: Open, site: Site) -> None:
    """After a 401 the provider is asked for a new token, and the question is put again."""
    page = opened('<scai-model-picker name="model" label="Model"></scai-model-picker>')
    page.wait_for_function("document.querySelector('scai-model-picker').rows.length")
    page.evaluate("asked.length = 0; token = 'bad'; document.querySelector('scai-model-picker').refresh()")
    page.wait_for_function("asked.length === 2 && document.querySelector('scai-model-picker').rows.length")
    assert [False, True] == page.evaluate("asked")


def test_polling_is_conditional(opened: Open, site: Site) -> None:
    """The second question carries the ETag, is answered with 304, and the rows stay."""
    page = opened("")
    with page.expect_response(lambda answer: API_MODELS in answer.url and answer.status == 304):
        page.evaluate("document.forms[0].innerHTML = '<scai-model-picker poll=\"0.1\"></scai-model-picker>'")
    assert 1 == page.evaluate("document.querySelector('scai-model-picker').rows.length")


def test_an_older_list_is_kept_when_asking_again_fails(opened: Open, site: Site) -> None:
    """Rows stay usable, and that they are old is said."""
    site.grid.on(MODELS, {"data": MODEL_ROWS}, Reply({}, 500))
    page = opened('<scai-model-picker label="Model" poll="0.1"></scai-model-picker>')
    expect(page.get_by_role("status")).to_contain_text("An older list is shown")
    page.get_by_role("combobox", name="Model", exact=True).click()
    assert 4 == len(names(page))


def test_a_queue_is_chosen_by_scope_then_queue(opened: Open, site: Site) -> None:
    """The queues wait for a scope; another scope forgets the queue."""
    page = opened('<scai-queue-picker name="queue" scope-name="scope" required></scai-queue-picker>')
    queue = page.get_by_role("combobox", name="Queue", exact=True)
    expect(queue).to_be_disabled()
    scope = page.get_by_role("combobox", name="Scope", exact=True)
    expect(scope).to_have_attribute("placeholder", "Search or choose")
    scope.press("ArrowDown")
    scope.press("Enter")
    expect(queue).to_be_enabled()
    expect(queue).to_have_attribute("placeholder", "Search or choose")
    page.wait_for_function("document.querySelector('scai-queue-picker').rows.length")
    queue.press("ArrowDown")
    queue.press("Enter")
    assert {"queue": "que_1", "scope": "scp_1"} == page.evaluate(
        "Object.fromEntries(new FormData(document.forms[0]))"
    )
    assert ["que_1"] == [one for one in page.evaluate("changes") if one]
    assert [] == violations(page)
    scope.press("Escape")
    assert "" == page.evaluate("document.querySelector('scai-queue-picker').value")


def test_bunkers_and_any_lookup(opened: Open, site: Site) -> None:
    """The bunker picker, and the generic one over the same lookup, offer the same."""
    page = opened(
        '<scai-bunker-picker label="Bunker"></scai-bunker-picker>'
        '<scai-lookup-picker label="Any" src="scaibunker/bunkers" key="bunker_id"></scai-lookup-picker>'
    )
    for name in ("Bunker", "Any"):
        box = page.get_by_role("combobox", name=name, exact=True)
        expect(box).to_have_attribute("placeholder", "Search or choose")
        box.press("ArrowDown")
        box.press("Enter")
    assert 2 == len(page.evaluate("changes.filter((one) => one === 'bnk_1')"))


def test_a_token_goes_to_no_other_origin(opened: Open, site: Site, canvas: Upstream) -> None:
    """A src of another origin is refused, and nobody there is asked."""
    page = opened(f'<scai-lookup-picker label="Any" src="{canvas.base}/steal"></scai-lookup-picker>')
    expect(page.get_by_role("alert")).to_contain_text("is not where lookups are asked")
    assert [] == canvas.calls("/steal")


def test_an_answer_that_cors_withholds_is_told(opened: Open, site: Site, watched: Watched) -> None:
    """Where the browser may not see the answer, the fix names the setting and the page's origin."""
    page = opened(f'<scai-model-picker label="Model" base="{site.grid.base}/"></scai-model-picker>')
    alert = page.get_by_role("alert")
    expect(alert).to_contain_text("cannot be reached from this page")
    expect(alert).to_contain_text(f"SCAILOOKUP_CORS_ORIGINS names {page.evaluate('location.origin')}")
    assert any("CORS policy" in one for one in watched.complaints)
    watched.complaints.clear()  # the browser's own words on what this test is about


def test_ten_thousand_rows_stay_a_short_list(opened: Open, site: Site) -> None:
    """However many there are, the page holds a hundred options, and a search finds the last."""
    site.grid.on(MODELS, {"data": models(f"acme/model-{number:05d}" for number in range(10_000))})
    page = opened('<scai-model-picker name="model" label="Model"></scai-model-picker>')
    page.wait_for_function("document.querySelector('scai-model-picker').rows.length === 10000")
    box = page.get_by_role("combobox", name="Model", exact=True)
    box.click()
    count = "document.querySelector('scai-model-picker').shadowRoot.querySelectorAll('*').length"
    assert 100 == len(names(page))
    assert page.evaluate(count) < 700
    expect(page.locator(".note")).to_have_text("The first 100 of 10000. Type to narrow.")
    box.fill("model-09999")
    box.press("Enter")
    assert "acme/model-09999" == value(page)


def test_dark_and_narrow(watched: Watched, canvas: Upstream, demo: Demo) -> None:
    """In the dark and on a phone it reads well and does not stick out."""
    page = watched.page(phone=True, dark=True)
    style = "<style>:root { color-scheme: light dark; background: Canvas; }</style>"
    style += '<meta name="viewport" content="width=device-width">'
    body = '<scai-model-picker label="Model"></scai-model-picker>'
    page.goto(html(canvas, PAGE.format(base=demo.url, token=demo.tokens["viewer"], body=style + body)))
    page.get_by_role("combobox", name="Model", exact=True).click()
    expect(page.locator(".option").first).to_be_visible()
    assert [] == violations(page)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    shoot(page, "picker-dark-phone")
