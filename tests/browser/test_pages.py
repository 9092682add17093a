"""The report of a run and the index of all runs in a real browser."""

from pathlib import Path

import pytest

from tests.browser.conftest import HOSTILE, PAGES, OpenPage

pytestmark = pytest.mark.slow

RUN_SECTIONS = (
    "verdict",
    "gates",
    "comparison",
    "slices",
    "confusion",
    "calibration",
    "robustness",
    "mistakes",
    "data",
    "training",
    "stages",
    "lineage",
    "reproduce",
)
SECTIONS = {name: ("served", "history", "runs") if "index" in name else RUN_SECTIONS for name in PAGES}
MAX_BYTES = 3_000_000
WIDTHS = (360, 820, 1400)
OPEN_DETAILS = "document.querySelectorAll('details').forEach(e => e.open = true)"

# The contrast of every visible text by the formulas of WCAG 2.1; backgrounds are blended like in the browser.
CONTRASTS = """() => {
  const pen = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
  const known = new Map();
  const colour = (text) => {
    if (known.has(text)) return known.get(text);
    pen.clearRect(0, 0, 1, 1); pen.fillStyle = text; pen.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = pen.getImageData(0, 0, 1, 1).data;
    known.set(text, [r, g, b, a / 255]);
    return known.get(text);
  };
  const over = (top, below) => [0, 1, 2].map((i) => top[i] * top[3] + below[i] * (1 - top[3])).concat(1);
  const ground = (element) => {
    const layers = [];
    for (let e = element; e; e = e.parentElement) layers.push(colour(getComputedStyle(e).backgroundColor));
    return layers.reverse().reduce((below, layer) => over(layer, below), [255, 255, 255, 1]);
  };
  const light = (c) => [0.2126, 0.7152, 0.0722].reduce((sum, weight, i) => {
    const v = c[i] / 255;
    return sum + weight * (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
  }, 0);
  const found = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement, text = walker.currentNode.data.trim();
    if (!text || !element.checkVisibility() || element.closest(".skip, style")) continue;
    const style = getComputedStyle(element), below = ground(element);
    const ink = colour(element instanceof SVGElement ? style.fill : style.color);
    const [high, low] = [light(over(ink, below)), light(below)].sort((a, b) => b - a);
    found.push([(high + 0.05) / (low + 0.05), text.slice(0, 60)]);
  }
  return found;
}"""


@pytest.fixture(params=PAGES)
def name(request: pytest.FixtureRequest) -> str:
    return request.param


def test_a_page_makes_no_request_logs_nothing_and_has_every_section(
    open_page: OpenPage, pages: dict[str, Path], name: str
) -> None:
    visit = open_page(name)
    assert visit.messages == []
    assert visit.requests == [pages[name].as_uri()]
    sections = visit.page.evaluate("[...document.querySelectorAll('section')].map(e => e.id)")
    assert tuple(sections) == SECTIONS[name]
    assert pages[name].stat().st_size < MAX_BYTES


def test_a_page_fits_every_window_width(open_page: OpenPage, name: str) -> None:
    page = open_page(name).page
    for script in ("0", OPEN_DETAILS):
        page.evaluate(script)
        for width in WIDTHS:
            page.set_viewport_size({"width": width, "height": 900})
            page_width, window_width = page.evaluate(
                "[document.documentElement.scrollWidth, document.documentElement.clientWidth]"
            )
            assert (width, page_width) == (window_width, window_width)


def test_every_link_resolves_and_every_id_is_unique(open_page: OpenPage, pages: dict[str, Path], name: str) -> None:
    page = open_page(name).page
    links = page.evaluate("[...document.querySelectorAll('a[href]')].map(e => e.getAttribute('href'))")
    ids = page.evaluate("[...document.querySelectorAll('[id]')].map(e => e.id)")
    assert sorted(ids) == sorted(set(ids))
    assert len(links) >= len(SECTIONS[name])
    assert [link for link in links if link.startswith("#") and link[1:] not in ids] == []
    assert [link for link in links if not link.startswith("#") and not (pages[name].parent / link).is_file()] == []


def test_tab_reaches_every_link_starting_with_the_skip_link(open_page: OpenPage, name: str) -> None:
    page = open_page(name).page
    visible = "e => e.checkVisibility() && !e.closest('details:not([open]) > :not(summary)')"
    expected = page.evaluate(f"[...document.querySelectorAll('a[href], summary')].filter({visible}).length")
    reached: list[str] = []
    link = "e.tagName + ' ' + (e.getAttribute('href') || '')"
    describe = f"() => {{ const e = document.activeElement; return e === document.body ? '' : {link} }}"
    for _ in range(expected + page.locator("[tabindex]").count()):
        page.keyboard.press("Tab")
        reached.append(page.evaluate(describe))
    assert reached[0].startswith("A #")
    assert page.locator("a[href]").first.get_attribute("class") == "skip"
    assert len([element for element in reached if element.startswith(("A ", "SUMMARY"))]) >= expected


def test_images_tables_and_scroll_areas_have_accessible_names(open_page: OpenPage, name: str) -> None:
    page = open_page(name).page
    assert page.evaluate("[...document.images].filter(e => !e.alt.trim()).length") == 0
    assert (
        page.evaluate("[...document.querySelectorAll('svg')].filter(e => e.role !== 'img' || !e.ariaLabel).length") == 0
    )
    assert page.evaluate("[...document.querySelectorAll('[tabindex]')].filter(e => !e.ariaLabel).length") == 0
    assert page.evaluate("[...document.querySelectorAll('table')].filter(e => !e.caption).length") == 0
    assert page.evaluate("[...document.querySelectorAll('th')].filter(e => !e.scope).length") == 0
    if name in ("passed", "refused"):
        assert page.locator("svg").count() >= 5
        assert page.locator("img").count() >= 1


def test_text_has_enough_contrast_in_both_colour_schemes(open_page: OpenPage, name: str) -> None:
    page = open_page(name).page
    page.evaluate(OPEN_DETAILS)
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        background = page.evaluate(
            "getComputedStyle(document.body).backgroundColor.match(/\\d+/g).slice(0, 3).map(Number)"
        )
        assert max(background) < 60 if scheme == "dark" else min(background) > 200
        contrasts = page.evaluate(CONTRASTS)
        assert len(contrasts) > 20
        assert [(scheme, round(ratio, 2), text) for ratio, text in contrasts if ratio < 4.5] == []


def test_a_printed_page_hides_no_section(open_page: OpenPage, name: str) -> None:
    page = open_page(name, scheme="dark").page
    page.emulate_media(media="print")
    parts = "section, section :is(p, table, figure, img, svg, pre)"
    hidden = f"[...document.querySelectorAll('{parts}')].filter(e => !e.checkVisibility())"
    assert page.evaluate(f"{hidden}.map(e => e.outerHTML.slice(0, 80))") == []
    assert page.evaluate("[...document.querySelectorAll('section')].every(e => e.getBoundingClientRect().height > 0)")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"


@pytest.mark.parametrize("page_name", ["hostile", "hostile_index"])
def test_hostile_text_is_shown_as_text_and_runs_no_script(open_page: OpenPage, page_name: str) -> None:
    visit = open_page(page_name)
    text = visit.page.evaluate("document.body.textContent")
    assert text.count(HOSTILE.strip()) >= 2  # at least in the reason and as the profile
    assert visit.page.locator("script, img[src='x'], [onclick], [onerror]").count() == 0
    assert visit.messages == []
