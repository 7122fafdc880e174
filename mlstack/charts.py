"""Draw charts as SVG for web pages: in the page's colours, light or dark.

    figure = new_figure(360, 200)
    axes = figure.add_subplot()
    style_axes(axes)
    axes.plot(times, shares, color=ACCENT)
    html = inline_svg(figure, "drift", "Drift", "Share of drifted features, last 24 hours")

Draw only with the colours below: `inline_svg` replaces them with the custom properties of
`pages.css` and leaves others as they are. The result goes into HTML as it is (in Jinja: `| safe`):
its texts are escaped, and shown in the page's font. It has no style sheet and no style attribute,
so that `style-src 'self'` allows it. `svg.chart` of `pages.css` makes it as wide as its parent.

Importing matplotlib takes a second; pyplot, which keeps global state, is never needed.
"""

import io
import re
import threading
import warnings
from collections.abc import Mapping
from itertools import count
from typing import Final
from xml.etree import ElementTree as ET

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text

INK: Final = "#22303c"
"""Text."""
SOFT: Final = "#8fa3b0"
"""Background data and unimportant text."""
GRID: Final = "#e6ebef"
"""Grid lines."""
ACCENT: Final = "#1f77b4"
"""Main data."""
ALARM: Final = "#d1495b"
"""Highlights that need attention."""
GOOD: Final = "#3a8f5c"
"""Highlights that are as they should be."""

# A page without these properties shows the colour after the comma.
_PROPERTIES: Mapping[str, str] = {
    INK: "var(--text,currentColor)",
    "#000000": "var(--text,currentColor)",
    SOFT: "var(--quiet,#6f7f8b)",
    GRID: f"var(--line,{GRID})",
    ACCENT: f"var(--accent,{ACCENT})",
    ALARM: f"var(--bad,{ALARM})",
    GOOD: f"var(--good,{GOOD})",
}

_POINTS = 72
_SVG = "{http://www.w3.org/2000/svg}"
_HREF = "{http://www.w3.org/1999/xlink}href"
_NO_METADATA = dict.fromkeys(("Creator", "Date", "Format", "Type"))
_DECIMALS = re.compile(r"-?\d+\.\d+")
_REFERENCE = re.compile(r"#(\w+)")
# Numbers that place something; a tenth of a pixel is enough, and halves the size.
_GEOMETRY = ("d", "x", "y", "width", "height", "transform", "points", "stroke-width")
# matplotlib's drawing reads settings of the whole process.
_lock = threading.Lock()


def new_figure(width: float, height: float, *, arranged: bool = True) -> Figure:
    """Create a figure of this size in pixels.

    If it is `arranged`, its subplots and their labels make room for each other, which takes as long
    as the drawing; otherwise place the axes with `add_axes`.
    """
    size = width / _POINTS, height / _POINTS
    return Figure(figsize=size, layout="constrained" if arranged else None)


def style_axes(axes: Axes) -> None:
    """Apply the common style of all charts: light grid, no frame."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(SOFT)
    axes.tick_params(colors=INK)
    axes.grid(color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)


def inline_svg(figure: Figure, name: str, title: str, description: str) -> str:
    """Return the figure as an SVG element for HTML; equal figures give equal texts.

    Args:
        figure: Sizes are in points, which become pixels of the view box.
        name: Unique on the page, letters, digits, - and _; ids start with it.
        title: What people with a screen reader hear first, and others see when they point at it.
        description: What the chart shows, for people who do not see it.
    """
    root = ET.fromstring(_matplotlib_svg(figure))  # noqa: S314 - we wrote it
    drawing = _Cleaner(name).clean(root)
    heading = {"title": title, "desc": description}
    for place, (tag, text) in enumerate(heading.items()):
        element = ET.Element(tag, {"id": f"{name}-{tag}"})
        element.text = text
        drawing.insert(place, element)
    drawing.attrib = {
        "xmlns": _SVG.strip("{}"),
        "class": "chart",
        "viewBox": root.attrib["viewBox"],
        "role": "img",
        "aria-labelledby": " ".join(f"{name}-{tag}" for tag in heading),
        # matplotlib leaves out black; the joins stand in its style sheet.
        "fill": _PROPERTIES[INK],
        "stroke-linejoin": "round",
    }
    return ET.tostring(drawing, encoding="unicode")


def _matplotlib_svg(figure: Figure) -> str:
    file = io.StringIO()
    for text in figure.findobj(Text):
        assert isinstance(text, Text)  # noqa: S101 - what it looks for
        text.set_parse_math(False)  # labels with dollars are no formulas
    with (
        _lock,
        # Drawing creates more texts, which follow this setting.
        mpl.rc_context({"svg.fonttype": "none", "text.parse_math": False}),
        warnings.catch_warnings(),
    ):
        # It measures texts with its own font; browsers have one for every character.
        warnings.filterwarnings("ignore", r"Glyph \d+")
        figure.savefig(file, format="svg", transparent=True, metadata=_NO_METADATA)
    return file.getvalue()


class _Cleaner:
    """Removes what a page does not need from matplotlib's SVG, and names what it does."""

    def __init__(self, name: str) -> None:
        self._name, self._numbers, self._ids = name, count(1), dict[str, str]()

    def clean(self, element: ET.Element) -> ET.Element:
        """Return a copy without style, namespaces, unused ids and invisible shapes."""
        copy = ET.Element(element.tag.removeprefix(_SVG), self._attributes(element))
        copy.text = element.text if copy.tag == "text" else None
        for child in element:
            if child.tag == f"{_SVG}style":
                continue
            cleaned = self.clean(child)
            if _is_invisible(cleaned):
                continue
            # A group without attributes only nests.
            copy.extend(cleaned if cleaned.tag == "g" and not cleaned.attrib else [cleaned])
        return copy

    def _attributes(self, element: ET.Element) -> dict[str, str]:
        found = dict(element.attrib)
        for rule in filter(None, found.pop("style", "").split(";")):
            key, _, value = rule.partition(":")
            found[key.strip()] = value.strip()
        found.pop("font-family", None)
        if element.tag == f"{_SVG}g":
            found.pop("id", None)
        if "rotate(-0 " in found.get("transform", ""):
            del found["transform"]
        if _HREF in found:
            found["href"] = found.pop(_HREF)
        return {key: self._value(key, value) for key, value in found.items()}

    def _value(self, key: str, value: str) -> str:
        if key == "id":
            return self._id(value)
        if key in {"clip-path", "href"}:
            return _REFERENCE.sub(lambda found: f"#{self._id(found[1])}", value)
        if key in _GEOMETRY:
            return " ".join(_DECIMALS.sub(_rounded, value).split())
        return _PROPERTIES.get(value, value)

    def _id(self, original: str) -> str:
        if original not in self._ids:
            self._ids[original] = f"{self._name}-{next(self._numbers)}"
        return self._ids[original]


def _rounded(number: "re.Match[str]") -> str:
    return f"{float(number[0]):.1f}".removesuffix(".0")


def _is_invisible(element: ET.Element) -> bool:
    if element.tag in {"g", "defs"}:
        return len(element) == 0
    return element.get("fill") == "none" and element.get("stroke", "none") == "none"
