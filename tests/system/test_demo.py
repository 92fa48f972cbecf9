"""The page of `jaxdiff demo` in a headless browser, which may reach nothing but the page."""

import importlib.util
import io
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request

import numpy as np
import pytest
from PIL import Image

from tests.helpers.processes import TINY

GRADIO = importlib.util.find_spec("gradio")  # whose import takes seconds
playwright = pytest.importorskip(
    "playwright.sync_api", reason="a browser is driven by Playwright: pip install playwright"
)
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not GRADIO, reason="the page needs Gradio: pip install 'jaxdiff[demo]'"),
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
    opened.busy = set()
    opened.on("request", lambda r: opened.busy.add(r) if "/queue/" in r.url else None)
    for end in ("requestfinished", "requestfailed"):
        opened.on(end, lambda r: opened.busy.discard(r))
    opened.goto(url)
    opened.wait_for_function("document.querySelector('#said')?.innerText.includes('images in')", timeout=WAIT)
    rest(opened)
    yield opened
    opened.close()
    assert [a for a in asked if not a.startswith((url, "data:", "blob:"))] == []
    assert failed == []


def picture(page):
    return page.get_attribute("#picture img", "src")


def rest(page):
    """Wait until the page has asked its server for nothing, and waited for no answer, for a second."""
    quiet, end = 0, time.monotonic() + WAIT / 1000
    while quiet < 4:
        assert time.monotonic() < end, "the page is busy"
        page.wait_for_timeout(250)
        quiet = 0 if page.busy else quiet + 1


def after(page, act):
    """What the page says of the images that come of an act; they may be the same, and so may what is said."""
    with page.expect_request(lambda r: "/queue/join" in r.url, timeout=WAIT):
        act()
    rest(page)
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
    rest(page)
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


def shown(page):
    """The 16 images of 8x8 pixels in the picture, grey: 64x64 each, with a border of 2, and all twice as large."""
    with urllib.request.urlopen(page.evaluate("document.querySelector('#picture img').src")) as answer:
        sheet = np.asarray(Image.open(io.BytesIO(answer.read())).convert("L"), int)
    assert sheet.shape == (532, 532)
    return sheet[4::2, 4::2].reshape(4, 66, 4, 66)[:, :64:8, :, :64:8].swapaxes(1, 2).reshape(16, 8, 8)


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


def test_what_is_painted_over_is_drawn_anew(page):
    """All images keep the upper half of the one that was clicked, to the bit; below they differ."""
    clicked = shown(page)[1]
    box = page.locator("#picture img").bounding_box()
    page.mouse.click(box["x"] + 0.4 * box["width"], box["y"] + 0.1 * box["height"])
    paint(page)
    assert "ddim" in after(page, lambda: page.click("#go"))
    images = shown(page)
    np.testing.assert_array_equal(images[:, :4], np.broadcast_to(clicked[:4], (16, 4, 8)))
    assert np.abs(images[1:, 5:] - images[0, 5:]).max() > 40
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
