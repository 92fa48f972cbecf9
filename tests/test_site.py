"""Links of README and docs lead somewhere, in the repository and in the site, which shows every page and every room."""

import html
import importlib
import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import pytest

import jaxdiff

ROOT = Path(__file__).parent.parent
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md"))]
NAMES = [str(page.relative_to(ROOT)) for page in PAGES]
LINK = re.compile(r"!?\[(?:[^\]\[]|\[[^\]]*\])*\]\(([^)\s]+)\)")


def prose(text):
    """The text of a page without its blocks of code."""
    return re.sub(r"(?ms)^```.*?^```|^    .*?$", "", text)


def anchors(text):
    """The names that a repository's viewer gives the headings of a page, as the site does."""
    headings = re.findall(r"(?m)^#+ (.+)$", prose(text))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


def broken(page, text):
    """The links of a page that lead nowhere."""
    for link in LINK.findall(prose(text)):
        if re.match(r"[a-z]+:", link):
            continue
        place, _, anchor = link.partition("#")
        target = (page.parent / place).resolve()
        known = target.exists() and ROOT in target.parents
        if not known or (anchor and anchor not in anchors(target.read_text() if place else text)):
            yield link


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_every_link_leads_somewhere(page):
    assert not list(broken(page, page.read_text()))


def test_a_broken_link_is_seen():
    text = "# A b\n[a](gone.md), [b](python.md#gone), ![c](images/gone.png), [d](#a-b), [e](python.md#fine-tuning)\n"
    assert list(broken(ROOT / "docs" / "page.md", text)) == ["gone.md", "python.md#gone", "images/gone.png"]


def test_every_page_is_in_the_navigation():
    shown = set(re.findall(r": (\S+\.md)$", (ROOT / "mkdocs.yml").read_text(), re.MULTILINE))
    missing = {page.name for page in (ROOT / "docs").glob("*.md")} - shown
    assert not missing, f"add {missing} to nav in mkdocs.yml"


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The site, built as its command builds it: a warning is an error."""
    pytest.importorskip("mkdocstrings", reason="needs the extra `docs`")
    folder = tmp_path_factory.mktemp("site")
    build = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", folder]
    done = subprocess.run(build, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.slow
def test_nothing_is_fetched_from_elsewhere(site):
    for page in site.rglob("*.html"):
        text = page.read_text()
        assert not re.search(r"<(script|img|iframe)[^>]*src=\"?(https?:)?//", text), page
        assert not re.search(r"<link[^>]*rel=\"?(stylesheet|preconnect)\"?[^>]*href=\"?(https?:)?//", text), page


@pytest.mark.slow
def test_the_reference_has_all_that_is_public(site):
    seen = 0
    for module in pkgutil.walk_packages(jaxdiff.__path__, "jaxdiff."):
        room = module.name.split(".")[1]
        if room.startswith("_") or module.ispkg or module.name.startswith("jaxdiff.configs."):
            continue
        page = html.unescape((site / "reference" / f"{room}.html").read_text())
        loaded = importlib.import_module(module.name)
        for name in getattr(loaded, "__all__", ()):
            part = getattr(loaded, name)
            if callable(part) and (part.__module__, getattr(part, "__name__", "")) == (module.name, name):
                assert f'id="{module.name}.{name}"' in page, f"{module.name}.{name} has no entry"
                seen += 1
    assert seen > 300
