"""What every journey through a page checks: drawn pixels, a quiet console, nothing wider than the screen."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from playwright.sync_api import ConsoleMessage, Locator, Page

ARTIFACTS = Path(__file__).resolve().parents[2] / "artifacts"
SCREENSHOTS = ARTIFACTS / "screenshots"
DESKTOP = {"viewport": {"width": 1280, "height": 860}}
PHONE = {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True}
SCREENS: dict[str, dict[str, Any]] = {
    "desktop-dark": {**DESKTOP, "color_scheme": "dark"},
    "desktop-light": {**DESKTOP, "color_scheme": "light"},
    "phone-dark": {**PHONE, "color_scheme": "dark"},
    "phone-light": {**PHONE, "color_scheme": "light"},
}
DRAWN = ".dt-chart[data-ready='1']:not([data-bars='0'])"
# Colours that differ from the first pixel's, over all canvases of the element.
COUNT_PIXELS = """(el) => [...el.querySelectorAll("canvas")].reduce((sum, canvas) => {
  if (!canvas.width || !canvas.height) return sum;
  const data = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
  const first = data[0] << 16 | data[1] << 8 | data[2];
  let other = 0;
  for (let i = 4; i < data.length; i += 4)
    if (data[i + 3] > 200 && (data[i] << 16 | data[i + 1] << 8 | data[i + 2]) !== first) other++;
  return sum + other;
}, 0)"""


class Console:
    """Errors that the browser reports for a page."""

    def __init__(self, page: Page) -> None:
        self.errors: list[str] = []
        page.on("console", self._message)
        page.on("pageerror", lambda error: self.errors.append(str(error)))

    def _message(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self.errors.append(f"{message.text} ({message.location.get('url', '')})")


def drawn_chart(page: Page) -> Locator:
    """The price chart once it shows bars. Fails unless its canvases hold a picture."""
    chart = page.locator(DRAWN)
    chart.wait_for(timeout=30_000)
    chart.scroll_into_view_if_needed()
    page.wait_for_function("(el) => el.dataset.ready === '1'", arg=chart.element_handle())
    assert chart.evaluate(COUNT_PIXELS) > 2_000
    return chart


def wears_the_theme(page: Page, chart: Locator) -> None:
    """The canvas has the ground of the page's panels, in whichever theme."""
    ground = page.evaluate(
        """() => {
          const probe = document.createElement("i");
          probe.style.color = getComputedStyle(document.documentElement).getPropertyValue("--dt-panel");
          document.body.append(probe);
          return getComputedStyle(probe).color.match(/\\d+/g).slice(0, 3).map(Number);
        }"""
    )
    pixel = chart.evaluate("(el) => [...el.querySelector('canvas').getContext('2d').getImageData(3, 90, 1, 1).data]")
    assert pixel[:3] == ground


def fits_the_screen(page: Page) -> None:
    assert page.viewport_size is not None
    # not innerWidth: a phone's browser widens that to what the page takes
    too_wide = page.evaluate("document.documentElement.scrollWidth") - page.viewport_size["width"]
    assert too_wide <= 0, f"the page is {too_wide} px wider than the screen"


def keep_picture(page: Page, name: str) -> None:
    """A picture of the whole page in ``artifacts/screenshots``, which the test run keeps as output."""
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=str(SCREENSHOTS / f"{name}.png"), full_page=True)


def settled(page: Page) -> None:
    """Waits until nothing is being worked on any more."""
    page.wait_for_function(
        "() => ![...document.querySelectorAll('.dt-spinner')].some((spinner) => spinner.offsetParent !== null)"
    )


def wear(page: Page, theme: str) -> None:
    """The page in ``light`` or ``dark``, by its own button."""
    if page.evaluate("document.documentElement.dataset.theme") != theme:
        page.locator("#dt-theme").click()
    assert page.evaluate("document.documentElement.dataset.theme") == theme
    page.evaluate("() => document.activeElement?.blur()")


def begins_with_a_skip_link(page: Page) -> None:
    """The first Tab shows the way past the menu, and what has the focus is outlined."""
    page.evaluate("() => { document.activeElement?.blur(); window.scrollTo(0, 0); }")
    page.keyboard.press("Tab")
    link = page.locator(".dt-skip")
    assert link.evaluate("(el) => el === document.activeElement"), "the first Tab does not lead to the skip link"
    box = link.bounding_box()
    assert box is not None and box["x"] >= 0, "the skip link is not on the screen"
    target = str(link.get_attribute("href"))
    assert page.locator(target).count() == 1, f"{target} is not there"
    page.keyboard.press("Tab")
    outline = page.evaluate("() => getComputedStyle(document.activeElement).outlineStyle")
    assert outline != "none", "the focus is not seen"


def is_accessible(page: Page, *, within: str | None = None, leave_out: tuple[str, ...] = ()) -> None:
    """No serious or critical finding of axe on the page as it stands, or inside ``within`` (a CSS selector).

    ``leave_out`` names rules that do not apply here; each needs its reason beside the call.
    """
    from axe_playwright_python.sync_playwright import Axe

    rules = {rule: {"enabled": False} for rule in leave_out}
    found = Axe().run(page, context=within, options={"rules": rules, "resultTypes": ["violations"]})
    grave = [v for v in found.response["violations"] if v["impact"] in ("serious", "critical")]
    said = [
        f"{v['id']} ({v['impact']}): {v['help']}\n" + "\n".join(f"    {_node(node)}" for node in v["nodes"][:5])
        for v in grave
    ]
    assert not said, "\n".join(said)


def _node(node: dict[str, Any]) -> str:
    why = [check["message"] for kind in ("any", "all", "none") for check in node[kind]]
    return f"{node['target']} {node['html'][:160]} {'; '.join(why)[:300]}"


def comes_true(page: Page, check: Callable[[], bool], problem: str, seconds: float = 15) -> None:
    """Waits for what the page's kernel does after the browser has shown it, such as a row in the database."""
    deadline = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < deadline, problem
        page.wait_for_timeout(100)
