"""One Chromium a module, the demo and a scripted site behind it; what a page complains of is a failure."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.base import AXE_FILE_PATH
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, expect, sync_playwright

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from contract.support import Site, script_all
from harness import Reply, Upstream, environment

FLAGS = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
SHOTS = Path(__file__).parent / "shots"
PATIENCE = 30_000
NETWORK = "Failed to load resource"
expect.set_options(timeout=PATIENCE)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Debian's Chromium with a profile of its own."""
    path = shutil.which("chromium")
    assert path, "tests/system/packages.sh installs Chromium"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        browser.close()


class Watched:
    """Contexts of one test whose pages' complaints, and requests to foreign hosts, are kept."""

    def __init__(self, browser: Browser) -> None:
        self._browser = browser
        self._contexts: list[BrowserContext] = []
        self.complaints: list[str] = []
        self.origins: set[str] = set()

    def page(self, *, phone: bool = False, dark: bool = False) -> Page:
        """A page in a fresh context."""
        size = {"width": 390, "height": 844} if phone else {"width": 1280, "height": 860}
        context = self._browser.new_context(
            viewport=size, color_scheme="dark" if dark else "light", has_touch=phone, reduced_motion="reduce"
        )
        context.set_default_timeout(PATIENCE)
        self._contexts.append(context)
        page = context.new_page()
        page.on("console", self._said)
        page.on("pageerror", lambda error: self.complaints.append(f"pageerror: {error}"))
        page.on("request", lambda request: self._asked(request.url))
        return page

    def _said(self, message: ConsoleMessage) -> None:
        # An answer that is an error is part of many tests, and the page's own business.
        url = message.location["url"]
        answered = message.text.startswith(NETWORK) and ("/v1/" in url or url.endswith("/favicon.ico"))
        if message.type in ("error", "warning") and not answered:
            self.complaints.append(f"{message.type}: {message.text} {message.location}")

    def _asked(self, url: str) -> None:
        if url.startswith("http"):
            self.origins.add("/".join(url.split("/")[:3]))

    def close(self) -> None:
        """End every context."""
        for context in self._contexts:
            context.close()


@pytest.fixture
def watched(browser: Browser) -> Iterator[Watched]:
    """A factory of pages; console errors, CSP violations and exceptions fail the test."""
    watched = Watched(browser)
    yield watched
    watched.close()
    assert [] == watched.complaints


@pytest.fixture
def page(watched: Watched) -> Page:
    """One page on a desk, light."""
    return watched.page()


@pytest.fixture(scope="module")
def canvas() -> Iterator[Upstream]:
    """A web server of another origin that pages are served from."""
    server = Upstream()
    yield server
    server.stop()


class Demo:
    """`scailookup demo` as a process."""

    def __init__(self, **settings: str) -> None:
        command = [sys.executable, "-m", "scailookup", "demo", "--json", "--port", "0"]
        self.process = subprocess.Popen(
            command, env=environment(settings), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        assert self.process.stdout is not None
        facts = json.loads(self.process.stdout.readline())
        self.url: str = facts["url"]
        self.upstream_url: str = facts["upstream_url"]
        self.tokens: dict[str, str] = facts["tokens"]

    def stop(self) -> None:
        """End the process."""
        self.process.send_signal(signal.SIGTERM)
        assert 0 == self.process.wait(60)


@pytest.fixture(scope="module")
def demo(canvas: Upstream) -> Iterator[Demo]:
    """The demo, which pages of the canvas's origin may ask; failures are not remembered, lists hardly."""
    demo = Demo(
        SCAILOOKUP_CORS_ORIGINS=canvas.base,
        SCAILOOKUP_FRESH="0",
        SCAILOOKUP_STALE="0",
        SCAILOOKUP_STALE_IF_ERROR="0",
        SCAILOOKUP_FAILURE_MEMORY="0",
    )
    yield demo
    demo.stop()


@pytest.fixture(scope="module")
def _site(canvas: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    site = Site(tmp_path_factory.mktemp("site"), SCAILOOKUP_CORS_ORIGINS=canvas.base)
    yield site
    site.stop()


@pytest.fixture
def site(_site: Site) -> Site:
    """The product before a scripted upstream, caches off."""
    _site.forget()
    return script_all(_site)


def violations(page: Page) -> list[str]:
    """What axe-core finds that is more than a trifle, with the places."""
    page.evaluate(Path(AXE_FILE_PATH).read_text(encoding="utf-8"))
    found: list[dict[str, Any]] = page.evaluate(
        "async () => (await axe.run(document, {resultTypes: ['violations']})).violations"
    )
    return [
        f"{one['id']}: {[node['target'] for node in one['nodes']]} {one['nodes'][0]['failureSummary']}"
        for one in found
        if one["impact"] != "minor"
    ]


def shoot(page: Page, name: str) -> None:
    """Keep a picture as an artefact of the build."""
    SHOTS.mkdir(exist_ok=True)
    page.screenshot(path=SHOTS / f"{name}.png")


def html(canvas: Upstream, body: str, path: str = "/page") -> str:
    """Serve a page from the canvas and return its address."""
    canvas.on(path, Reply(body))
    return canvas.base + path
