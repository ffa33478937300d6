"""The pages in a real browser, from disk: silent, self-contained, readable at 360 px and wide, light and dark."""
import os, shutil

import pytest

import report_fixture as fx
from dsmon_research import report as rp
from dsmon_research.config import atomic_write, paths

CHROME = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
ARGS = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]


@pytest.fixture(scope="module")
def browser():
    if not CHROME:
        if os.environ.get("CI"): pytest.fail("no chromium, chromium-browser or google-chrome on PATH: CI must look at the pages")
        pytest.skip("no chromium, chromium-browser or google-chrome on PATH: the pages were not looked at")
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: the pages were not looked at") if not os.environ.get("CI") else __import__("playwright.sync_api", fromlist=["x"])
    with sync_api.sync_playwright() as p:
        b = p.chromium.launch(executable_path=CHROME, args=ARGS)
        yield b
        b.close()


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    root = fx.project(tmp_path_factory.mktemp("site"), ("hostile", "healthy", "early"))
    fx.dataset_files(root, "hostile", column=fx.NASTY, event=fx.NASTY)
    fx.dataset_files(root, "healthy", verdict="healthy")
    fx.dataset_files(root, "early", verdict="unknown", n=9, with_metrics=False)
    for n in ("hostile", "healthy", "early"): atomic_write(paths(n, root).report/"index.html", rp.render_report(rp.load_report(n, root)))
    atomic_write(root/"reports/index.html", rp.render_index(rp.load_index(root)))
    return root/"reports"


def look(browser, file, width, scheme):
    context = browser.new_context(viewport=dict(width=width, height=740 if width < 500 else 800), color_scheme=scheme)
    page, noise, requests = context.new_page(), [], []
    page.on("console", lambda m: noise.append(m.text)); page.on("pageerror", lambda e: noise.append(str(e)))
    page.on("request", lambda r: requests.append(r.url))
    page.goto(file.as_uri()); page.wait_for_timeout(50)
    return context, page, noise, [u for u in requests if u != file.as_uri() and not u.startswith("data:")]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
@pytest.mark.parametrize("name, word", [("hostile", "Unhealthy"), ("healthy", "Healthy"), ("early", "Cannot judge yet"), ("", "1 of 3 unhealthy")])
def test_page(browser, site, name, word, width, scheme):
    context, page, noise, outside = look(browser, site/name/"index.html", width, scheme)
    assert not noise and not outside
    assert page.evaluate("document.querySelectorAll('script,img,iframe,object,embed,form').length") == 0
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    h1 = page.locator("h1"); box = h1.bounding_box()
    assert h1.inner_text().strip() == word and box["y"]+box["height"] < page.viewport_size["height"] and box["x"]+box["width"] <= width
    if name:
        lead = page.locator("header .lead").bounding_box()
        assert lead["y"]+lead["height"] < page.viewport_size["height"]
    paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (paper == "rgb(255, 255, 255)") == (scheme == "light")
    context.close()


def test_one_drawing_per_width(browser, site):
    for width, shown in ((360, "narrow"), (1280, "wide")):
        context, page, *_ = look(browser, site/"healthy"/"index.html", width, "light")
        seen = page.evaluate("[...document.querySelectorAll('figure > div')].filter(e => e.getBoundingClientRect().height > 0).map(e => e.className)")
        assert seen and set(seen) == {shown}
        context.close()


def test_on_paper_it_is_light(browser, site):
    context, page, *_ = look(browser, site/"hostile"/"index.html", 1280, "dark")
    page.emulate_media(media="print", color_scheme="dark")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    context.close()
