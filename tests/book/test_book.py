"""The real book as a reader sees it: its files, and its pages in a browser (offline, typeset, on a phone, in the dark)."""

import functools
import io
import json
import re
from collections import Counter
from urllib.parse import unquote, urlparse

import numpy as np
import pytest
from browser import PHONE, Browser, needs_chromium
from bs4 import BeautifulSoup
from conftest import ROOT
from PIL import Image

from gonlib.book import notebooks
from gonlib.runs.run import Run
from gonlib.study import numbers

# --- the real book, as files ---


def soup(smoke_book, name):
    return parsed(smoke_book.html / f"{name}.html")


@functools.cache
def parsed(path):
    return BeautifulSoup(path.read_text(), "html.parser")


NAMES = notebooks.toc_names(ROOT / "book")
NOTEBOOKS = [name for name in NAMES if (ROOT / "book" / f"{name}.ipynb").is_file()]


def test_the_smoke_book_builds_without_a_fault(smoke_book):
    assert smoke_book.code == 0, smoke_book.printed
    assert "FAULT" not in smoke_book.printed
    assert f"Executed {len(NOTEBOOKS)} notebook" in smoke_book.printed


def test_every_page_is_there_and_linked_from_the_first(smoke_book):
    links = {a["href"].split("#")[0] for a in soup(smoke_book, "intro").select("nav a[href]")}
    for name in NAMES[1:]:
        assert (smoke_book.html / f"{name}.html").is_file() and f"{name}.html" in links
    assert (smoke_book.html / "index.html").is_file()


@pytest.mark.parametrize("name", NAMES)
def test_no_page_shows_an_error_or_a_place_left_open(smoke_book, name):
    shown = soup(smoke_book, name).select_one("article")
    assert "Traceback" not in shown.text and "TODO" not in shown.text
    assert not shown.select(".admonition.error, .output.traceback, .output.stderr, .problematic")
    assert not shown.find(string=re.compile(r"\{(doc|ref|numref|eq|cite:\w)\}"))
    assert not shown.find(string=re.compile("This page was not executed"))
    empty = [place for place in shown.select("p, li") if not place.code and re.search(r"(^|[ (])\[\]", place.text)]
    assert not empty, f"a citation without a name: {empty}"


@pytest.mark.parametrize("name", [name for name in NOTEBOOKS if notebooks.declared(ROOT / "book" / f"{name}.ipynb")])
def test_every_page_with_parameters_says_what_made_it(smoke_book, name):
    shown = soup(smoke_book, name).select_one("article")
    assert shown.select_one(".made-with").text.strip().startswith("Made with profile smoke")
    assert shown.select(".cell")


def test_no_page_waits_to_be_written(smoke_book):
    assert not [name for name in NAMES if "Not written yet" in soup(smoke_book, name).select_one("article").text]


def run_of(smoke_book, name):
    """A run that a page links to, from this build's store or the recorded ones."""
    folder = smoke_book.store / name
    return Run(folder if folder.is_dir() else ROOT / "book" / "results" / name)


def test_every_number_is_its_runs_and_links_to_them(smoke_book):
    listed, checked = {tag["id"] for tag in soup(smoke_book, "runs").select("[id]")}, Counter()
    for page_name in NAMES:
        for tag in soup(smoke_book, page_name).select("a.number"):
            runs = [run_of(smoke_book, name) for name in tag["data-runs"].split()]
            assert tag["href"] == f"runs.html#run-{runs[0].hash}"
            assert all(f"run-{run.hash}" in listed for run in runs), page_name
            if "data-metric" in tag.attrs:
                asked = json.loads(tag["data-asked"])
                runs = [Run(run.folder, run.config.replace(**asked)) for run in runs]
                values = [run.metrics[tag["data-metric"]] for run in runs]
                assert tag.text == numbers.written(*numbers.mean_sd(values), int(tag["data-digits"])), page_name
                checked[page_name] += 1
    tables = [name for name in NOTEBOOKS if "04" <= name[:2] <= "12" or name == "22-ledger"]
    assert all(checked[name] for name in tables) and checked.total() > 200, checked


def test_heads_of_tables_say_what_they_head(smoke_book):
    for name in NAMES:
        for table in soup(smoke_book, name).select(".cell_output table, table.runs"):
            heads = table.select("th")
            assert not table.select("[halign]") and all(th.get("scope") and th.text.strip() for th in heads), name


def test_pictures_are_there(smoke_book):
    pictures = [(name, img["src"]) for name in NAMES for img in soup(smoke_book, name).select("article img")]
    assert pictures
    for name, source in pictures:
        if not source.startswith("data:"):
            assert (smoke_book.html / unquote(source)).stat().st_size > 1000, f"{source} on {name}"
    for name in NAMES:
        for figure in soup(smoke_book, name).select("svg.drawn, div.pictures"):
            assert figure.get("aria-label"), f"a figure of {name} is not described"


WITHOUT_RUNS = {"intro": 1, "02-gradient-origin-networks": 2, "03-encoder-is-a-matrix": 2, "05-table2": 1,
                "07-activations": 1, "21-your-images": 1}  # figures of functions, of images, of what a page trains itself
NO_RUNS = {"00-how-to-read", "01-empirical-bayes", "speed", "your-own-decoder"}


def test_every_figure_of_runs_links_to_their_cards(smoke_book):
    for name in sorted({*NAMES} - NO_RUNS):
        page = soup(smoke_book, name)
        figures = page.select("div.drawn")
        without = [figure for figure in figures if not figure.select_one(".data a.number")]
        assert len(without) == WITHOUT_RUNS.get(name, 0), f"{len(without)} of {len(figures)} figures of {name}"
        for run in {run for link in page.select("a.number[data-runs]") for run in link["data-runs"].split()}:
            assert (smoke_book.html / "cards" / f"{run}.js").is_file(), f"run {run} of {name} has no card"


def test_files_that_pages_offer_have_names_of_their_own(smoke_book):
    names = [link["download"] for name in NAMES for link in soup(smoke_book, name).select("a.download")]
    assert names and len(set(names)) == len(names) and not any("table.csv" in name for name in names)


def test_equations_are_numbered(smoke_book):
    pages = [soup(smoke_book, name) for name in NAMES]
    ours = [re.match(r"\(([\d.]+)\)", tag.text)[1] for page in pages for tag in page.select(".eqno")]
    formulas = [math.text for page in pages for math in page.select(".math")]
    papers = {number for text in formulas for number in re.findall(r"\\tag\{(\d+)\}", text)}
    assert len(set(ours)) == len(ours) and {"11", "12", "13"} <= papers


def test_no_page_names_another_host_for_what_it_is_made_of(smoke_book):
    parts = {"script": "src", "link": "href", "img": "src", "iframe": "src", "source": "src", "object": "data"}
    for path in smoke_book.html.glob("*.html"):
        made = parsed(path)
        for tag, attribute in parts.items():
            for part in made.select(f"{tag}[{attribute}]"):
                if "canonical" not in part.get("rel", []):
                    assert urlparse(part[attribute]).netloc == "", f"{path.name}: {part}"
        assert not any("://" in script.text for script in made.select("script:not([src])")), path.name
    for path in smoke_book.html.rglob("*.css"):
        assert not re.search(r"(url\(|@import)\s*['\"]?(https?:)?//", path.read_text()), path.name


def test_no_link_inside_the_book_is_dead(smoke_book):
    for path in smoke_book.html.glob("*.html"):
        for a in BeautifulSoup(path.read_text(), "html.parser").select("a[href]"):
            link = urlparse(a["href"])
            if not link.scheme and link.path:
                assert (smoke_book.html / unquote(link.path)).exists(), f"{path.name}: {a['href']}"


def test_the_page_on_variants_quotes_their_tests(smoke_book):
    shown = soup(smoke_book, "add-a-variant").text
    quoted = {"test_add_a_variant": "class SquashedGradient(InferenceRule):", "data/test_add_a_dataset": "ENTRY ="}
    for file, line in quoted.items():
        assert line in (ROOT / "tests" / f"{file}.py").read_text(encoding="utf-8") and line in shown


def test_the_api_pages_document_every_file(smoke_book):
    for path in (ROOT / "gonlib").glob("*/**/[a-z]*.py"):
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        assert soup(smoke_book, f"api-{name.split('.')[1]}").find(id=f"module-{name}"), name


# --- the real book, in a browser ---


@pytest.fixture(scope="module")
def browser():
    tab = Browser()
    yield tab
    tab.close()


SIDEWAYS = """new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done(
    [...document.querySelectorAll('article :is(.table-scroll, .text_html, .pst-scrollable-table-container)')]
        .filter(it => it.scrollWidth > it.clientWidth + 1).map(it => it.textContent.trim().slice(0, 60))))))"""


@needs_chromium
@pytest.mark.parametrize("name", NAMES)
def test_a_page_is_whole_without_a_network_and_fits_a_phone(browser, smoke_book, name):
    browser.open((smoke_book.html / f"{name}.html").as_uri(), PHONE)
    elsewhere = [url for url in browser.requests if not url.startswith((smoke_book.html.as_uri(), "data:"))]
    assert not elsewhere and not browser.errors
    counts = browser.evaluate("""[document.querySelectorAll('.math').length,
        [...document.querySelectorAll('.math')].filter(m => !m.querySelector('mjx-container')).length,
        document.querySelectorAll('mjx-merror').length]""")
    assert counts[1:] == [0, 0], f"of {counts[0]} formulas, {counts[1]} are not typeset, {counts[2]} have errors"
    cut = browser.evaluate("""[...document.querySelectorAll('article .math mjx-math')].filter(
        m => m.getBoundingClientRect().left < 0).length""")
    assert not cut, f"{cut} formulas begin to the left of the page, where no scrolling gets"
    for screen in (PHONE["width"], 360):
        browser.call("Emulation.setDeviceMetricsOverride", **PHONE | {"width": screen})
        assert not browser.evaluate(SIDEWAYS), f"tables of {name} are cut off at {screen} pixels"
        width = browser.evaluate("Math.max(document.documentElement.scrollWidth, document.body.scrollWidth)")
        assert width <= screen, f"{name} is {width} pixels wide on a phone of {screen}"


@needs_chromium
@pytest.mark.parametrize("dark", [False, True])
def test_pages_follow_the_system_into_the_dark(browser, smoke_book, dark):
    browser.open((smoke_book.html / "00-how-to-read.html").as_uri(), dark=dark)
    shown = np.asarray(Image.open(io.BytesIO(browser.screenshot(whole=False))).convert("L"))
    assert shown.std() > 10, "the page is blank"
    assert (np.median(shown) < 60) if dark else (np.median(shown) > 200)
    picture = "getComputedStyle(document.querySelector('.pictures img'))"
    assert browser.evaluate(f"[{picture}.padding, {picture}.filter]") == ["0px", "none"]  # data, as they are


CONTRASTS = """(() => {
  const rgb = text => text.match(/[0-9.]+/g).map(Number);
  const light = text => rgb(text).slice(0, 3).map(v => v / 255)
    .map(v => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const behind = node => {
    for (; node; node = node.parentElement) {
      const colour = getComputedStyle(node).backgroundColor;
      if (rgb(colour).length < 4 || rgb(colour)[3] > 0.5) return colour;
    }
    return "rgb(255, 255, 255)";
  };
  const texts = document.querySelectorAll(":is(.cell_output, .runs) :is(th, td, p, code, a:not(.headerlink))");
  return [...texts].filter(it => it.textContent.trim()).map(it => {
    const [a, b] = [light(getComputedStyle(it).color), light(behind(it))];
    return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
  });
})()"""


@needs_chromium
@pytest.mark.parametrize("name", ["04-table1", "09-architectures", "12-settings", "22-ledger", "speed", "runs"])
@pytest.mark.parametrize("dark", [False, True])
def test_outputs_can_be_read(browser, smoke_book, name, dark):
    """Pandas' tables, shaded ones, ours, and words: the contrast is at least that which WCAG asks of large text, and
    in the long list of runs that which it asks of small text."""
    browser.open((smoke_book.html / f"{name}.html").as_uri(), dark=dark)
    contrasts = browser.evaluate(CONTRASTS)
    assert len(contrasts) > 10 and min(contrasts) > (4.5 if name == "runs" else 3)


@needs_chromium
@pytest.mark.parametrize("dark", [False, True])
def test_the_card_of_a_number_shows_its_runs_and_their_command(browser, smoke_book, dark):
    browser.open((smoke_book.html / "04-table1.html").as_uri(), PHONE, dark=dark)
    browser.evaluate("""new Promise(done => { document.querySelector('table a.number[data-metric]').click();
        const look = () => document.querySelector('dialog.card') ? done(1) : setTimeout(look, 20); look() })""")
    number = browser.evaluate("(d => ({text: d.textContent, runs: d.dataset.runs}))"
                              "(document.querySelector('table a.number[data-metric]'))")
    card = BeautifulSoup(browser.evaluate("document.querySelector('dialog.card').outerHTML"), "html.parser")
    assert card.h2.text == number["text"]
    assert card.select_one(".card-command pre").text.split("--only ")[1].split() == [
        name[:8] for name in number["runs"].split()]
    assert card.select(".card-curve polyline") and "batch size" in card.select_one(".card-config").text
    assert not browser.errors and all(url.startswith(smoke_book.html.as_uri()) for url in browser.requests
                                      if not url.startswith(("data:", "blob:")))
    wide = browser.evaluate("document.querySelector('dialog.card').getBoundingClientRect().right")
    assert wide <= PHONE["width"]
    browser.evaluate("""new Promise(done => { const card = document.querySelector('dialog.card');
        card.addEventListener('close', () => done(1)); card.querySelector('.card-close').click() })""")
    assert browser.evaluate("document.querySelector('dialog.card') === null")


@needs_chromium
def test_the_runs_are_filtered_and_sorted(browser, smoke_book):
    browser.open((smoke_book.html / "runs.html").as_uri())
    shown = """[...document.querySelectorAll('table.runs tr[id]')].filter(row => row.offsetParent).map(
        row => row.cells[1].textContent)"""
    everything = browser.evaluate(shown)
    browser.evaluate("(f => { f.value = 'tied seed'; f.dispatchEvent(new Event('input')) })"
                     "(document.getElementById('runs-filter'))")
    some = browser.evaluate(shown)
    assert 0 < len(some) < len(everything) and all("Tied AE" in what for what in some)
    browser.evaluate("document.querySelectorAll('table.runs thead button')[1].click()")
    assert browser.evaluate("document.querySelector('table.runs [aria-sort]').textContent") == "what"
    cut = browser.evaluate("(box => box.scrollWidth > box.clientWidth)(document.querySelector('.table-scroll'))")
    assert not cut, "columns of the runs are hidden at 1,280 pixels"


@needs_chromium
def test_search_finds_a_page_without_a_server(browser, smoke_book):
    browser.open((smoke_book.html / "search.html").as_uri() + "?q=profile")
    found = browser.evaluate("""new Promise(done => { let n = 0; const look = () => {
        const found = [...document.querySelectorAll('#search-results li a')].map(a => a.textContent);
        const there = found.some(title => title.includes('How do I read'));
        there || ++n > 100 ? done(found) : setTimeout(look, 100) }; look() })""")
    assert any("How do I read" in title for title in found), found
