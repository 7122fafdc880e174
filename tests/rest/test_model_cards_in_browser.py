"""Model cards in a real browser, without a network."""

from pathlib import Path
from typing import Literal

import pytest
from playwright.sync_api import Browser, expect

from tests.support.browser import DESKTOP, PHONE, needs_chromium
from tests.support.model_cards import card_of, example
from tests.support.target_kinds import KINDS

pytestmark = needs_chromium

READABLE = 4.5
"""Contrast of normal text, WCAG 2.2 AA."""

_LOWEST_CONTRAST = """() => {
  const light = text => {
    const [r, g, b] = text.match(/[\\d.]+/g).slice(0, 3).map(value => {
      const share = value / 255;
      return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const background = element => {
    const own = getComputedStyle(element).backgroundColor;
    return own !== "rgba(0, 0, 0, 0)" ? own : background(element.parentElement);
  };
  const texts = [...document.body.querySelectorAll("*")].filter(element =>
    [...element.childNodes].some(node => node.nodeType === 3 && node.data.trim()));
  return Math.min(...texts.map(element => {
    const style = getComputedStyle(element);
    const colour = element instanceof SVGElement ? style.fill : style.color;
    const [high, low] = [light(colour), light(background(element))].sort((a, b) => b - a);
    return (high + 0.05) / (low + 0.05);
  }));
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("kind", KINDS)
def test_card_fits_and_is_readable(
    browser: Browser, tmp_path: Path, kind: str, scheme: Literal["light", "dark"]
) -> None:
    """On a desktop and a phone, light and dark, with chart and slices, and without complaints."""
    path = tmp_path / "card.html"
    path.write_text(card_of(example(kind, 3000)).page, encoding="utf-8")
    for width, height in (DESKTOP, PHONE):
        complaints: list[str] = []
        with browser.new_context(
            viewport={"width": width, "height": height}, color_scheme=scheme, offline=True
        ) as context:
            page = context.new_page()
            page.on("console", lambda message: complaints.append(message.text))  # noqa: B023 - of this page
            page.on("requestfailed", lambda request: complaints.append(request.url))  # noqa: B023 - the same
            page.goto(f"file://{path}")
            expect(page.locator("svg.chart")).to_be_visible()
            expect(page.get_by_role("rowheader", name="country home")).to_be_visible()
            assert page.evaluate("document.documentElement.scrollWidth") == width
            assert page.evaluate(_LOWEST_CONTRAST) >= READABLE
            page.screenshot(path=tmp_path / f"{scheme}-{width}.png", full_page=True)
        assert complaints == []
