"""The page of `jaxdiff demo` in a headless browser, which may reach nothing but the page."""

import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request

import pytest
from PIL import Image

from tests.helpers.processes import TINY

pytest.importorskip("gradio", reason="the page needs Gradio: pip install 'jaxdiff[demo]'")
playwright = pytest.importorskip(
    "playwright.sync_api", reason="a browser is driven by Playwright: pip install playwright"
)
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not CHROMIUM, reason="no Chromium is installed"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]
GUIDED = [
    "--config=configs/guided.py",
    *TINY[1:],
    "--config.optimizer.warmup=0",
    "--config.optimizer.learning_rate=0.01",
]
WAIT = 120_000
"""Milliseconds: machines that run tests are busy."""


@pytest.fixture(scope="module")
def folder(call, tmp_path_factory):
    """A small run with classes, whose weights, unlike their average, have begun to tell them apart."""
    place = tmp_path_factory.mktemp("runs") / "guided"
    call("train.py", *GUIDED, f"--workdir={place}")
    return place


@pytest.fixture(scope="module")
def url(folder, environment):
    """Where its page is served."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        sys.executable,
        "-m",
        "jaxdiff",
        "demo",
        "--workdir",
        str(folder),
        "--weights",
        "params",
        "--port",
        str(port),
    ]
    server = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
    assert server.stdout
    assert f"look at http://127.0.0.1:{port}" in server.stdout.readline()
    yield f"http://127.0.0.1:{port}"
    server.terminate()
    server.wait()
    server.stdout.close()


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as p:
        started = p.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture
def page(browser, url, request):
    """The page when it has drawn its first images; by the end it has asked for nothing else, and nothing failed."""
    size = getattr(request, "param", (1200, 1000))
    opened = browser.new_page(viewport=dict(zip(("width", "height"), size, strict=True)))
    asked, failed = [], []
    opened.on("request", lambda r: asked.append(r.url))
    opened.on("pageerror", lambda e: failed.append(str(e)))
    opened.goto(url)
    opened.wait_for_function("document.querySelector('#said')?.innerText.includes('images in')", timeout=WAIT)
    yield opened
    opened.close()
    assert [a for a in asked if not a.startswith((url, "data:", "blob:"))] == []
    assert failed == []


def picture(page):
    return page.get_attribute("#picture img", "src")


def after(page, act):
    """What the page says of the images that come of an act."""
    before = picture(page)
    act()
    page.wait_for_function(
        "before => document.querySelector('#picture img').src != before",
        arg=page.evaluate("before => new URL(before, document.baseURI).href", before),
        timeout=WAIT,
    )
    time.sleep(1)  # what is said may come after the picture, and may be what was said before
    return page.inner_text("#said")


def slide(page, name, share):
    """Take a slider with the mouse to a place."""
    box = page.locator(f"#{name} input[type=range]").bounding_box()
    page.mouse.click(box["x"] + share * box["width"], box["y"] + box["height"] / 2)


def choose(page, name, text):
    page.click(f"#{name} input")
    page.get_by_role("option", name=text, exact=True).click()


def paint(page):
    """Paint the lower half of the picture with the mouse."""
    page.wait_for_selector("#editor canvas", state="visible")
    time.sleep(2)  # the canvas comes before its picture
    box = page.locator("#editor canvas").first.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x - 110, y + 30)
    page.mouse.down()
    for row in range(8):
        page.mouse.move(x + 130 * (-1) ** row, y + 30 + 15 * row, steps=4)
        page.mouse.move(x + 130 * (-1) ** row, y + 45 + 15 * row)
    page.mouse.up()
    time.sleep(2)  # what is painted is sent


def shown(page, tmp_path):
    """The picture as it is seen, grey."""
    page.locator("#picture img").screenshot(path=tmp_path / "seen.png")
    return Image.open(tmp_path / "seen.png").convert("L")


def test_a_slider_changes_the_images_without_compiling(page):
    for act in (
        lambda: slide(page, "seed", 0.5),
        lambda: slide(page, "guidance", 0.6),
        lambda: choose(page, "label", "3"),
        lambda: slide(page, "seed", 0.25),
    ):
        assert "nothing compiled" in after(page, act)


def test_another_number_of_steps_or_sampler_compiles_once(page):
    slide(page, "steps", 0.1)
    assert "compiled anew" in after(page, lambda: page.click("#go"))
    assert "nothing compiled" in after(page, lambda: page.click("#go"))
    choose(page, "sampler", "dpmpp_2m")
    assert "dpmpp_2m" in (said := after(page, lambda: page.click("#go")))
    assert "compiled anew" in said


def test_the_chain_can_be_gone_through(page):
    last = picture(page)
    slide(page, "at", 0.02)
    page.wait_for_function("last => document.querySelector('#picture img').src != last", arg=last)
    assert page.locator("#strip img").is_visible()


def test_what_is_painted_over_is_drawn_anew(page, tmp_path):
    """All images keep the upper half of the one that was clicked; below they differ."""
    box = page.locator("#picture img").bounding_box()
    page.mouse.click(box["x"] + 0.4 * box["width"], box["y"] + 0.1 * box["height"])
    paint(page)
    assert "ddim" in after(page, lambda: page.click("#go"))
    time.sleep(1)
    seen = shown(page, tmp_path)
    side = seen.width // 4
    tiles = [
        seen.crop((x * side + 8, y * side + 8, (x + 1) * side - 8, (y + 1) * side - 8)) for x in (0, 3) for y in (0, 3)
    ]
    halves = lambda lower: [
        t.crop((0, lower * 3 * side // 5, t.width, (2 + 3 * lower) * side // 5)).resize((4, 4)) for t in tiles
    ]
    far = lambda parts: max(abs(a - b) for p in parts for a, b in zip(p.tobytes(), parts[0].tobytes(), strict=True))
    assert far(halves(0)) < 12
    assert far(halves(1)) > 40
    assert "nothing compiled" in after(page, lambda: slide(page, "seed", 0.7))


def test_a_picture_is_noised_and_drawn_from_there(page):
    page.get_by_role("tab", name="Image to image").click()
    after(page, lambda: page.click("#go"))
    assert "nothing compiled" in after(page, lambda: slide(page, "strength", 0.2))


def test_what_cannot_be_is_said_and_the_page_stays(page):
    page.get_by_role("tab", name="Inpaint").click()
    before = picture(page)
    page.click("#go")
    page.wait_for_selector("text=nothing is painted over")
    assert picture(page) == before


@pytest.mark.parametrize("page", [(390, 844)], indirect=True)
def test_a_phone_shows_it_all_in_its_width(page):
    for tab in ("Draw", "Inpaint", "Image to image"):
        page.get_by_role("tab", name=tab).click()
        time.sleep(1)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        for name in ("picture", "go", "seed", "sampler"):
            box = page.locator(f"#{name}").bounding_box()
            assert box["x"] >= 0
            assert box["x"] + box["width"] <= 390


def test_nothing_is_loaded_from_elsewhere(url):
    with urllib.request.urlopen(url) as answer:
        assert "default-src 'self'" in answer.headers["content-security-policy"]
        html = answer.read().decode()
    assert not re.findall(r"""(?:src|href)=["'](?:https?:)?//""", html)


def test_a_port_that_is_taken_is_one_line(url, folder, environment):
    port = url.rpartition(":")[2]
    command = [sys.executable, "-m", "jaxdiff", "demo", "--workdir", str(folder), "--port", port]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 2
    assert f"error: --host 127.0.0.1 --port {port}: cannot listen there" in done.stderr.splitlines()[-1]
