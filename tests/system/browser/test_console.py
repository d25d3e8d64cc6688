"""The page for people: signing in, every view, every error, both themes, on a desk and on a phone."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator

import pytest
from contract.support import MODELS, Site, models
from harness import Reply, Server
from playwright.sync_api import Locator, Page, Route, expect

from .conftest import Demo, Watched, shoot, violations

VIEWS = ("Lookups", "Upstreams", "Explain", "Credentials")


def enter(page: Page, demo: Demo, user: str = "Viewer of tnt_acme", at: str = "") -> Page:
    """Open the page and be one of the demo's users."""
    page.goto(f"{demo.url}/console{at}")
    page.get_by_role("button", name=user).click()
    return page


def see(page: Page, view: str) -> None:
    """Go to a view and wait until it is there."""
    page.get_by_role("navigation", name="Views").get_by_role("link", name=view).click()
    expect(page.get_by_role("heading", level=1)).to_have_text(view)


def paste(page: Page, token: str) -> None:
    """Sign in with a pasted token."""
    page.get_by_text("Paste a token").click()
    page.get_by_role("textbox", name="Access token").fill(token)
    page.get_by_role("button", name="Use this token").click()


@pytest.fixture
def mended(demo: Demo, page: Page) -> Iterator[Demo]:
    """The demo, whole again afterwards."""
    yield demo
    page.request.delete(f"{demo.upstream_url}/demo/faults")


def test_only_our_own_host_is_asked(watched: Watched, page: Page, demo: Demo) -> None:
    """The page loads and asks from where it came from, and from nowhere else."""
    enter(page, demo)
    expect(page.locator(".json")).to_be_visible()
    assert {demo.url} == watched.origins


def test_the_policy_allows_nothing_inline(page: Page, demo: Demo) -> None:
    """The header forbids inline code and style, and names ScaiKey's origin and no other."""
    policy = page.request.get(f"{demo.url}/console").headers["content-security-policy"]
    assert "unsafe" not in policy
    assert re.findall(r"https?://[^ ;]+", policy) == [demo.upstream_url]


def test_a_pasted_token_is_kept_in_memory_only(page: Page, demo: Demo) -> None:
    """It signs in, is in no storage, no address and no cookie, and a reload forgets it."""
    page.goto(f"{demo.url}/console")
    paste(page, demo.tokens["viewer"])
    expect(page.locator(".json")).to_be_visible()
    kept = page.evaluate(
        "JSON.stringify([{...localStorage}, {...sessionStorage}, document.cookie, location.href])"
    )
    assert demo.tokens["viewer"] not in kept + page.content()
    page.reload()
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()


def test_signing_in_with_scaikey(page: Page, demo: Demo) -> None:
    """Code flow with PKCE: away, back, signed in, the code gone from the address, nothing stored."""
    page.goto(f"{demo.url}/console")
    page.get_by_role("button", name="Sign in with ScaiKey").click()
    page.wait_for_url(re.compile("response_type=code&.*&state=.+&nonce=.+&code_challenge=.+_method=S256"))
    page.get_by_role("link", name="viewer").click()
    expect(page.locator(".person")).to_contain_text("tnt_acme")
    assert f"{demo.url}/console" == page.url
    assert "{}" == page.evaluate("JSON.stringify({...sessionStorage, ...localStorage})")


def test_a_code_that_nobody_here_asked_for_is_refused(page: Page, demo: Demo) -> None:
    """A state of another window signs nobody in and asks nobody."""
    page.goto(f"{demo.url}/console?code=abc&state=foreign")
    expect(page.get_by_role("alert")).to_contain_text("not begun in this window")
    assert f"{demo.url}/console" == page.url


def test_tokens_that_were_meant_for_another_sign_in_are_refused(page: Page, demo: Demo) -> None:
    """An id token with another nonce signs nobody in."""
    claims = (
        base64.urlsafe_b64encode(b'{"nonce": "other", "aud": "app_scailookup_demo"}').decode().rstrip("=")
    )
    tokens = {"access_token": demo.tokens["viewer"], "id_token": f"e30.{claims}.x"}
    headers = {"Access-Control-Allow-Origin": "*"}
    page.route("**/oauth/token", lambda route: route.fulfill(json=tokens, headers=headers))
    page.goto(f"{demo.url}/console")
    page.get_by_role("button", name="Sign in with ScaiKey").click()
    page.get_by_role("link", name="viewer").click()
    expect(page.get_by_role("alert")).to_contain_text("not meant for this sign-in")
    expect(page.get_by_role("navigation", name="Views")).to_be_hidden()


def test_a_bad_token_is_told(page: Page, demo: Demo) -> None:
    """The catalogue's 401 is shown with its fix, and that the caller must act."""
    page.goto(f"{demo.url}/console")
    paste(page, "not.a.token")
    alert = page.get_by_role("alert")
    expect(alert).to_contain_text("Sign in with ScaiKey")
    expect(alert).to_contain_text("Who must actYou")


def test_who_may_not_look_is_told_who_can_help(page: Page, demo: Demo) -> None:
    """A 403 names the permission and the tenant's admin."""
    enter(page, demo, "User of tnt_acme")
    alert = page.get_by_role("alert")
    expect(alert).to_contain_text("need scaicore:view")
    expect(alert).to_contain_text("A tenant admin")
    assert [] == violations(page)
    shoot(page, "error-403")


def test_every_lookup_is_there_as_picker_and_json(page: Page, demo: Demo) -> None:
    """Each of the catalogue opens; its picker finds rows, and the HTML of it is shown."""
    enter(page, demo)
    menu = page.get_by_role("navigation", name="Lookups")
    for name, tag in (
        ("bunkers", "scai-bunker-picker"),
        ("models", "scai-model-picker"),
        ("scopes", "scai-lookup-picker"),
    ):
        menu.get_by_role("button", name=name, exact=True).click()
        picker = page.locator(f".panel {tag}")
        page.wait_for_function("(node) => node.rows.length > 0", arg=picker.element_handle())
        expect(page.locator(".json")).to_contain_text('"data": [')
        expect(page.locator(".line").first).to_contain_text(f"<{tag} ")


def test_an_answer_shows_all_that_is_known_of_it(page: Page, demo: Demo) -> None:
    """Timing, cache outcome, credential step, request id, and the curl line without the token."""
    enter(page, demo)
    page.get_by_role("textbox", name="q").fill("it's GPT-4o & more")
    page.get_by_role("button", name="Ask", exact=True).click()
    facts = page.locator(".answer .facts")
    for word in ("Status200", "Rows0", "Cacheasked the upstream", "Credentialcaller", "Request id"):
        expect(facts).to_contain_text(word)
    line = page.get_by_role("region", name="the curl line")
    asked = f"'{demo.url}/api/v1/scaigrid/models?q=it%27s%20GPT-4o%20%26%20more&limit=25'"
    expect(line).to_have_text(f'curl -s -H "Authorization: Bearer $TOKEN" {asked}')
    assert demo.tokens["viewer"] not in line.inner_text()


def test_queues_by_scope(page: Page, demo: Demo) -> None:
    """The path value is chosen from the scopes, and the answer is the queues of that one."""
    enter(page, demo)
    page.get_by_role("button", name="scopes/{scope_id}/queues").click()
    scope = page.get_by_role("combobox", name="scope_id")
    scope.fill("billing")
    expect(page.locator(".parameters .option")).to_have_count(1)
    scope.press("Enter")
    page.get_by_role("button", name="Ask", exact=True).click()
    expect(page.locator(".json")).to_contain_text('"slug": "_dead_letter"')


def test_breaking_and_mending(page: Page, mended: Demo) -> None:
    """As a new user would: see models, break the upstream, read what to do, mend it, see it recover."""
    enter(page, mended)
    expect(page.locator(".json")).to_be_visible()
    see(page, "Upstreams")
    grid = page.locator(".upstream", has=page.get_by_role("heading", name="scaigrid"))
    expect(grid.locator(".state")).to_have_text("Well")
    page.get_by_role("button", name="Break it").click()
    page.get_by_role("link", name="See what a lookup says now").click()
    alert = page.locator(".answer [role=alert]")
    expect(alert).to_contain_text("The demo platform was told to fail.")
    expect(alert).to_contain_text("the operator of scaigrid must look at it")
    shoot(page, "error-upstream")
    see(page, "Upstreams")
    expect(grid.locator(".state")).to_have_text("Failing")
    expect(grid).to_contain_text("(500), models,")
    shoot(page, "upstreams-failing")
    page.get_by_role("button", name="Mend everything").click()
    expect(page.get_by_text("Nothing is broken.")).to_be_visible()
    see(page, "Lookups")
    expect(page.locator(".json")).to_contain_text("openai/gpt-4o")
    see(page, "Upstreams")
    expect(grid.locator(".state")).to_have_text("Well")
    expect(grid.get_by_role("img").first).to_have_attribute("aria-label", re.compile("of them failed"))


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        ("Answers 429, wait 5 s", "Wait5 s"),
        ("Refuses everybody (401)", "scaigrid_auth"),
        ("Cuts the connection", "unreachable"),
        ("Sends a login page", "bad_shape"),
        ("Redirects elsewhere", "redirected"),
    ],
)
def test_each_kind_of_failure_is_told(page: Page, mended: Demo, fault: str, code: str) -> None:
    """Whatever goes wrong up there, the page names it, with the fix and who must act."""
    enter(page, mended, at="#upstreams")
    page.get_by_role("combobox", name="What goes wrong").select_option(label=fault)
    page.get_by_role("combobox", name="Where").select_option(label="models")
    page.get_by_role("button", name="Break it").click()
    page.get_by_role("link", name="See what a lookup says now").click()
    alert = page.locator(".answer [role=alert]")
    expect(alert).to_contain_text(code)
    expect(alert).to_contain_text("Who must act")
    expect(alert.get_by_role("button", name="Try again")).to_be_visible()


def step(page: Page, title: str) -> Locator:
    """A step of an explanation."""
    return page.locator(
        ".steps > li", has=page.get_by_role("heading", level=3, name=re.compile(f"^{title}\\b"))
    )


def test_every_step_is_explained_to_an_admin(page: Page, demo: Demo) -> None:
    """Each step is there with its result and what was seen; the token is nowhere."""
    enter(page, demo, "Admin of tnt_acme", at="#explain")
    expect(page.get_by_role("status").first).to_have_text("All is well.")
    expect(page.locator(".steps > li")).to_have_count(9)
    expect(step(page, "Token")).to_contain_text("audience: ok")
    expect(step(page, "Permission")).to_contain_text("a role in the token")
    expect(step(page, "Credential")).to_contain_text("the caller's own token signs the call")
    expect(step(page, "Answer")).to_contain_text("60 rows of 6 pages")
    expect(step(page, "Memory")).to_contain_text("state: closed, retry after: 0")
    assert demo.tokens["admin"] not in page.content()


@pytest.mark.parametrize(
    ("user", "last"),
    [("Viewer of tnt_acme", "shown to tenant_admin"), ("User of tnt_acme", "lacks the permission")],
)
def test_others_are_explained_their_own_part(page: Page, demo: Demo, user: str, last: str) -> None:
    """Token and permission, even for who may not see the catalogue; the rest is one line with the reason."""
    enter(page, demo, user, at="#explain")
    expect(page.locator(".steps > li")).to_have_count(3)
    expect(page.locator(".steps > li.skipped")).to_contain_text(last)
    expect(page.get_by_text("All is well.")).to_have_count(0)
    assert [] == violations(page)


def test_an_error_leads_to_its_explanation(page: Page, mended: Demo) -> None:
    """From a failed answer to the step that fails, and what to do; another try once it is mended."""
    page.request.post(
        f"{mended.upstream_url}/demo/faults", data={"status": 500, "path": "/v1/modules/scaiqueue"}
    )
    enter(page, mended, "Admin of tnt_acme")
    page.get_by_role("button", name="scopes", exact=True).click()
    page.locator(".answer").get_by_role("link", name="Explain it").click()
    expect(page.get_by_role("combobox", name="Lookup")).to_have_value("scaiqueue/scopes?limit=25")
    expect(page.get_by_role("alert")).to_contain_text(
        "Call: INTERNAL_ERROR: The demo platform was told to fail."
    )
    expect(page.get_by_role("alert")).to_contain_text("Request id")
    expect(page.get_by_role("status").first).to_have_text("It ends at Call.")
    expect(step(page, "Call")).to_contain_text("The demo platform was told to fail.")
    expect(step(page, "Call").locator("strong")).to_have_text("You may wait; then the operator: ")
    assert [] == violations(page)
    shoot(page, "explain-failing")


def test_a_value_that_is_missing_is_asked_for(page: Page, demo: Demo) -> None:
    """A field of the path that is left as it is stops the form, by name."""
    enter(page, demo, at="#explain")
    path = page.get_by_role("combobox", name="Lookup")
    path.fill("scaiqueue/scopes/{scope_id}/queues")
    assert "{scope_id}" in path.evaluate("(node) => node.validationMessage")
    path.fill("scaiqueue/scopes/no such/queues")
    path.press("Enter")
    expect(page).to_have_url(re.compile("no%20such"))


def test_a_lookup_that_there_is_not_is_told(page: Page, demo: Demo) -> None:
    """The service's own words."""
    enter(page, demo, at="#explain?lookup=scaigrid/nothing")
    expect(page.get_by_role("alert")).to_contain_text("lookup names no lookup that there is")


def test_a_viewer_sees_the_key_masked_and_cannot_change_it(page: Page, demo: Demo) -> None:
    """What is set is shown masked; who may change it is said."""
    enter(page, demo)
    see(page, "Credentials")
    expect(page.locator(".facts code")).to_have_text("sgk_…2b6d")
    expect(page.get_by_text("Somebody with the role tenant_admin must do this.")).to_be_visible()


def test_a_key_is_tried_before_it_is_saved(page: Page, demo: Demo) -> None:
    """A key that ScaiGrid refuses is not saved; one that works is, and the page holds neither after."""
    enter(page, demo, "Admin of tnt_acme")
    see(page, "Credentials")
    key, save = page.get_by_label("New ScaiGrid key"), page.get_by_role("button", name="Try it, then save")
    key.fill("sgk_wrong_wrong_wrong")
    save.click()
    expect(page.get_by_role("alert")).to_contain_text("Check the key")
    expect(page.get_by_text("Nothing was saved.")).to_be_visible()
    key.fill("sgk_demo_acme_4f1c9a7e2b6d")
    save.click()
    expect(page.get_by_text("Saved. It is used from now on.")).to_be_visible()
    expect(key).to_have_value("")


def test_by_keyboard_alone(page: Page, demo: Demo) -> None:
    """From the skip link through signing in to a view: no pointer is needed, and the focus follows."""
    page.goto(f"{demo.url}/console")
    expect(page.get_by_role("button", name="Viewer of tnt_acme")).to_be_visible()
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to content")).to_be_focused()
    page.get_by_role("button", name="Viewer of tnt_acme").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1, name="Lookups")).to_be_focused()
    page.get_by_role("navigation", name="Views").get_by_role("link", name="Upstreams").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1, name="Upstreams")).to_be_focused()


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("phone", [False, True], ids=["desk", "phone"])
def test_every_view_is_accessible_and_fits(watched: Watched, demo: Demo, phone: bool, dark: bool) -> None:
    """In both themes and widths axe finds nothing, and nothing sticks out."""
    page = watched.page(phone=phone, dark=dark)
    name = f"{'phone' if phone else 'desk'}-{'dark' if dark else 'light'}"
    page.goto(f"{demo.url}/console")
    expect(page.get_by_role("button", name="Admin of tnt_acme")).to_be_visible()
    shoot(page, f"{name}-signin")
    assert [] == violations(page)
    page.get_by_role("button", name="Admin of tnt_acme").click()
    for view, there in zip(VIEWS, (".json", ".upstream", ".steps", ".facts"), strict=True):
        see(page, view)
        expect(page.locator(there).first).to_be_visible()
        assert [] == violations(page)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), view
        shoot(page, f"{name}-{view.lower()}")


def test_the_theme_can_be_changed(page: Page, demo: Demo) -> None:
    """The button goes against the system's wish, and back."""
    page.goto(f"{demo.url}/console")
    button = page.get_by_role("button", name="Change between light and dark")
    ground = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(ground)
    button.click()
    assert light != page.evaluate(ground)
    button.click()
    assert light == page.evaluate(ground)


def test_ten_thousand_rows_as_json_stay_short(page: Page, site: Site) -> None:
    """A long answer is cut for showing, and says so."""
    site.grid.on(MODELS, {"data": models(f"acme/model-{number:05d}" for number in range(10_000))})
    page.goto(f"http://127.0.0.1:{site.server.port}/console")
    paste(page, site.issuer.token())
    page.get_by_role("textbox", name="limit").fill("")
    page.get_by_role("button", name="Ask", exact=True).click()
    expect(page.get_by_text(re.compile("The first 400 of 40004 lines"))).to_be_visible()
    assert page.evaluate("document.querySelectorAll('*').length") < 500


def test_a_service_that_is_gone_is_told(page: Page, site: Site) -> None:
    """An answer that cannot be read is told as well, in words of the page's own."""
    page.goto(f"http://127.0.0.1:{site.server.port}/console")
    paste(page, site.issuer.token())
    expect(page.locator(".json")).to_be_visible()
    page.route(
        "**/api/v1/scaigrid/models*", lambda route: route.fulfill(status=504, body="<html>gone</html>")
    )
    page.get_by_role("button", name="Ask", exact=True).click()
    expect(page.locator(".answer [role=alert]")).to_contain_text("answered 504 without saying why")


def test_what_an_upstream_says_is_text(page: Page, site: Site) -> None:
    """Markup in a message or a name is shown, never parsed."""
    evil = '<img src=x onerror="window.hit=1">'
    site.grid.on(MODELS, {"data": [{"slug": "a/b", "display_name": evil}]})
    page.goto(f"http://127.0.0.1:{site.server.port}/console")
    paste(page, site.issuer.token())
    page.get_by_role("combobox", name="Model", exact=True).click()
    expect(page.locator(".option .name")).to_have_text(evil)
    site.grid.on(MODELS, Reply({"error": {"code": "X", "message": evil}}, 500))
    page.get_by_role("button", name="Ask", exact=True).click()
    expect(page.locator(".answer [role=alert]")).to_contain_text(evil)
    assert page.evaluate("window.hit === undefined")


def test_a_plugin_that_failed_is_shown_with_its_reason(page: Page, demo: Demo) -> None:
    """What the catalogue says of it: the plugin, its version, why, and who must act."""
    failed = {"name": "weather", "distribution": "scai-weather", "version": "2.0", "entry_point": "w:x"}

    def answer(route: Route) -> None:
        body = route.fetch().json()
        route.fulfill(json=body | {"failed": [failed | {"reason": "ImportError: no module rain"}]})

    page.route("**/api/v1/lookups", answer)
    enter(page, demo, at="#upstreams")
    card = page.locator(".upstream", has=page.get_by_role("heading", name="weather"))
    expect(card).to_contain_text("ImportError: no module rain")
    expect(card).to_contain_text("scai-weather 2.0")
    expect(card).to_contain_text("The operator")


def test_nobody_signs_in_where_authentication_is_off(page: Page, site: Site) -> None:
    """The page opens as the developer, without a way to sign out of nothing."""
    settings = {
        "SCAIGRID_BASE_URL": site.grid.base,
        "SCAIFLOW_AUTH_DISABLED": "true",
        "SCAIGRID_API_KEY": "k",
    }
    server = Server(settings)
    try:
        page.goto(f"http://127.0.0.1:{server.port}/console")
        expect(page.locator(".json")).to_contain_text("openai/gpt-4o")
        expect(page.locator(".person")).to_contain_text("dev")
        expect(page.get_by_role("button", name="Sign out")).to_have_count(0)
    finally:
        server.stop()
