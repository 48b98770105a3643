"""report.html in a real browser: no errors, no network, filters, phones, contrast."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from sdbackends.matrix import report
from tests.matrix import samples
from tests.matrix.browser import browser

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

DESK = {"width": 1400, "height": 1000}
PHONE = {"width": 390, "height": 844}
#: The luminance contrast of a text with what lies behind it (WCAG 2), and the text.
CONTRAST = """element => {
  const canvas = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
  const paint = (colours) => {
    for (const colour of colours) { canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1); }
    const [red, green, blue] = [...canvas.getImageData(0, 0, 1, 1).data].map((value) => {
      const share = value / 255;
      return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  };
  const behind = [];
  for (let at = element; at; at = at.parentElement) {
    behind.unshift(getComputedStyle(at).backgroundColor);
  }
  const levels = [paint(behind), paint([...behind, getComputedStyle(element).color])];
  const contrast = (Math.max(...levels) + 0.05) / (Math.min(...levels) + 0.05);
  return [contrast, element.textContent.trim().slice(0, 40)];
}"""


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("report")
    pairs = samples.runs(folder / "results")
    written = report.write([run for _, run in pairs], folder, [path for path, _ in pairs])
    return written.html.as_uri()


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browser() as started:
        yield started


@pytest.fixture
def page(chromium: Browser, address: str) -> Iterator[Page]:
    """The page on a desk; the test fails if the console said anything or anything was fetched."""
    opened = chromium.new_page(viewport=DESK)
    said: list[str] = []
    fetched: list[str] = []
    opened.on("console", lambda message: said.append(message.text))
    opened.on("pageerror", lambda error: said.append(str(error)))
    opened.on("request", lambda request: fetched.append(request.url))
    opened.goto(address)
    yield opened
    opened.close()
    assert said == []
    assert {url.partition("?")[0] for url in fetched if not url.startswith("data:")} == {address}


def test_a_machine_without_a_browser_is_told_how_to_have_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SD_TEST_BROWSER", "/nowhere/chrome")
    with pytest.raises(pytest.fail.Exception, match=r"fix: .*SD_TEST_BROWSER=none"), browser():
        pass
    monkeypatch.setenv("SD_TEST_BROWSER", "none")
    with pytest.raises(pytest.skip.Exception, match="has no browser"), browser():
        pass


def choose(page: Page, axis: str, value: str) -> None:
    page.locator("#filters details").evaluate("details => { details.open = true }")
    page.locator(f"#filters input[name={axis}][value='{value}']").check()


def visible(page: Page, selector: str) -> list[str]:
    """The backends of what is seen."""
    texts: list[str] = page.locator(selector).evaluate_all(
        "all => all.filter(it => it.getClientRects().length).map(it => it.dataset.backend)"
    )
    return texts


def test_the_first_screen_names_the_fastest_right_engine(page: Page) -> None:
    table = page.locator("#fastest table").bounding_box()
    assert table and table["y"] + table["height"] < DESK["height"]
    first = page.locator("#fastest tbody tr").first
    machines = page.locator("#fastest thead th").all_inner_texts()
    answers = first.locator("td li:first-child b").all_inner_texts()
    found = dict(zip((it.split()[0] for it in machines[1:]), answers, strict=True))
    # Far faster than anything else in the samples, and right.
    assert found == {"h100": "compile", "zen5-4c": "openvino"}


def test_a_filter_leaves_what_it_names_everywhere(page: Page) -> None:
    before = len(visible(page, "details.result"))
    choose(page, "backend", "jax")
    for selector in ("details.result", ".tile", ".bar", "g.mark", "#matrix td", "#figures tr"):
        seen = [name for name in visible(page, selector) if name is not None]
        assert seen and set(seen) == {"jax"}, selector
    # The next best steps up where the fastest is filtered away.
    assert set(visible(page, "#fastest li")) == {"jax"}
    assert page.locator("#shown").inner_text().endswith("cells, jax")
    page.get_by_role("button", name="show everything").click()
    assert len(visible(page, "details.result")) == before


def test_axes_narrow_each_other_and_values_of_one_axis_add_up(page: Page) -> None:
    choose(page, "backend", "jax")
    choose(page, "backend", "torch")
    choose(page, "precision", "bf16")
    choose(page, "place", "h100 cuda")
    assert sorted(visible(page, "details.result")) == ["jax"] * 3 + ["torch"] * 3
    assert page.locator("#matrix h3").evaluate_all(
        "all => all.filter(it => it.getClientRects().length).map(it => it.textContent)"
    ) == ["h100 cuda"]


def test_what_has_no_member_left_goes_with_its_heading(page: Page) -> None:
    choose(page, "outcome", "not-installed")
    assert page.locator("#skipped").is_visible()
    for gone in ("#pictures", "#latency", "#scatter", "#figures", "#fastest li"):
        assert not page.locator(gone).first.is_visible(), gone


def test_bars_fill_the_room_that_a_filter_makes(page: Page) -> None:
    chart = page.locator("#latency [data-chart]").first
    full = chart.locator(".bar:not([hidden]) .track").first.evaluate(
        "track => [...track.querySelectorAll('i')].reduce((sum, it) => sum + it.offsetWidth, 0)"
    )
    choose(page, "backend", "compile")
    longest = chart.locator(".bar:not([hidden]) .track").first.evaluate(
        "track => [...track.querySelectorAll('i')].reduce((sum, it) => sum + it.offsetWidth, 0)"
    )
    assert longest == pytest.approx(full, abs=4)


def test_the_address_keeps_the_filters(page: Page) -> None:
    choose(page, "pipeline", "taiyi")
    choose(page, "outcome", "ok")
    seen = visible(page, "details.result")
    page.reload()
    assert visible(page, "details.result") == seen != []


def test_a_cell_of_the_matrix_opens_its_command(page: Page) -> None:
    page.locator("#matrix .cell.wrong").first.click()
    opened = page.locator("details.result[open]")
    assert opened.count() == 1
    assert "sdbackends matrix --quick --cell" in opened.locator("pre").first.inner_text()


def test_commands_are_copied_one_by_one(page: Page) -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.locator("#matrix .cell.ok").first.click()
    opened = page.locator("details.result[open]")
    commands = opened.locator("pre").all_inner_texts()
    assert [command.split()[1] for command in commands] == ["matrix", "run"]
    for place, command in enumerate(commands):
        opened.locator("button[data-copy]").nth(place).click()
        page.wait_for_function(
            "command => navigator.clipboard.readText().then(text => text === command)", arg=command
        )


def test_words_of_a_crashed_process_stay_words(page: Page) -> None:
    assert "<dim> == 4 & 'group_norm'" in page.locator("#skipped").inner_text()


def test_every_picture_is_there(page: Page) -> None:
    sizes = page.locator("#pictures img").evaluate_all("all => all.map(it => it.naturalWidth)")
    assert sizes and all(size == 64 for size in sizes)


def test_a_phone_scrolls_in_one_direction(page: Page) -> None:
    page.set_viewport_size(PHONE)  # type: ignore[arg-type]
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    answer = page.locator("#fastest tbody b").first.bounding_box()
    assert answer and answer["y"] < PHONE["height"]
    heads = page.locator("#matrix tbody th").evaluate_all("all => all.map(it => it.offsetWidth)")
    assert all(100 <= width <= 200 for width in heads)
    # Scrolled aside, a line still says which pipeline it is.
    table = page.locator("#matrix .sticky").first
    table.evaluate("it => { it.scrollLeft = 300 }")
    box, frame = table.locator("tbody th").first.bounding_box(), table.bounding_box()
    assert box and frame and box["x"] == pytest.approx(frame["x"], abs=2)
    assert table.evaluate("it => it.scrollLeft") == 300


def test_right_and_wrong_differ_without_colour(page: Page) -> None:
    found = page.locator("#matrix").evaluate(
        """matrix => ["ok", "wrong", "other"].map((state) => {
          const cell = matrix.querySelector(`.cell.${state}`);
          return [cell.querySelector(".sign").textContent, getComputedStyle(cell).borderLeftStyle];
        })"""
    )
    signs, borders = zip(*found, strict=True)
    assert signs[:2] == ("✓", "✗") and len(set(signs)) == len(set(borders)) == 3
    points = page.locator("#scatter .mark.ok circle, #scatter .mark.wrong path")
    assert points.count() == page.locator("#scatter .mark").count()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_is_readable_by_day_and_by_night(page: Page, scheme: str) -> None:
    page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    choose(page, "backend", "torch")
    for selector in (".cell strong", ".cell small", ".sign", ".note", ".winners b", ".bar .text"):
        measured = page.locator(selector).evaluate_all(f"all => all.map({CONTRAST})")
        low = [entry for entry in measured if entry[0] < 4.5]
        assert not low, selector
