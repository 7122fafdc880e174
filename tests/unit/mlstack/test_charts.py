"""Charts are safe to put into a page that forbids style, and take its colours."""

import re
from html import unescape

from matplotlib.figure import Figure

from mlstack.charts import ACCENT, SOFT, inline_svg, new_figure, style_axes


def _chart(label: str = "window") -> Figure:
    figure = new_figure(360, 200)
    axes = figure.add_subplot()
    style_axes(axes)
    axes.fill_between([0, 1, 2], [3, 1, 2], color=SOFT, alpha=0.4)
    axes.plot([0, 1, 2], [1, 2, 3], "o-", color=ACCENT, label=label)
    axes.set_yticks([1, 2], ["low", "high"])
    axes.legend(frameon=False)
    return figure


def _svg(name: str = "a", label: str = "window") -> str:
    return inline_svg(_chart(label), name, "Drift <1>", "Share & more")


def test_chart_has_no_style_and_no_colour_of_its_own() -> None:
    """A page's policy blocks inline style, and a fixed colour suits light or dark only."""
    svg = _svg()
    assert "style" not in svg
    colours = re.findall(r'(?:fill|stroke)="([^"]*)"', svg)
    assert all(colour == "none" or colour.startswith("var(--") for colour in colours)
    assert {"var(--text,currentColor)", "var(--line,#e6ebef)"} <= set(colours)


def test_chart_is_the_same_each_time() -> None:
    assert _svg() == _svg()


def test_charts_of_one_page_share_no_id() -> None:
    """Two charts with an id in common would use each other's shapes."""
    ids = [set(re.findall(r' id="([^"]*)"', _svg(name))) for name in ("a", "b")]
    assert not ids[0] & ids[1]
    used = set(re.findall(r'(?:url\(|href=")#([\w-]+)', _svg()))
    assert used
    assert used <= ids[0]


def test_chart_says_what_it_shows() -> None:
    svg = _svg()
    assert 'role="img" aria-labelledby="a-title a-desc"' in svg
    assert '<title id="a-title">Drift &lt;1&gt;</title>' in svg
    assert '<desc id="a-desc">Share &amp; more</desc>' in svg


def test_labels_are_texts_of_any_script_and_no_formulas() -> None:
    texts = re.findall(r">([^<>]*)</text>", _svg(label="$a$ <b> 中文"))
    assert {"$a$ <b> 中文", "low", "high"} <= {unescape(text) for text in texts}
