"""SVG text from shapes. Coordinates are pixels of the view box, rounded to a tenth so that equal data give equal bytes."""

from collections.abc import Sequence
from html import escape

WIDTH = 760.0
MODES = ("direct", "closed_book", "cot", "context", "assisted", "tutored")
"""Groups that have the same colour and shape in every figure."""
SHAPES = 6
"""Distinct colours, each with a shape of its own."""
ORDER = (0, 2, 4, 3, 5, 1)
"""Styles of other groups as they come, the strongest colours first."""
CHARACTER = 7.0
"""Mean width of a character, to place words by."""


class Canvas:
    """Collects elements from top to bottom; all words given to it are escaped."""

    def __init__(self) -> None:
        self._parts: list[str] = []

    def line(self, x1: float, y1: float, x2: float, y2: float, kind: str) -> None:
        self._parts.append(f'<line class="{kind}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>')

    def rect(self, x: float, y: float, width: float, height: float, kind: str, opacity: float | None = None) -> None:
        seen = "" if opacity is None else f' fill-opacity="{opacity:.2f}"'
        self._parts.append(f'<rect class="{kind}" x="{x:.1f}" y="{y:.1f}" width="{max(0.0, width):.1f}" height="{height:.1f}"{seen}/>')

    def path(self, points: Sequence[tuple[float, float]], kind: str, *, closed: bool = False, tip: str = "") -> None:
        steps = " ".join(f"{'L' if i else 'M'}{x:.1f} {y:.1f}" for i, (x, y) in enumerate(points))
        inside = f"<title>{escape(tip)}</title>" if tip else ""
        self._parts.append(f'<path class="{kind}" d="{steps}{"Z" if closed else ""}">{inside}</path>')

    def text(self, x: float, y: float, words: str, kind: str = "", anchor: str = "start") -> None:
        self._parts.append(f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(words)}</text>')

    def upright(self, x: float, y: float, words: str) -> None:
        """Words along an axis that stands, read from below."""
        self._parts.append(f'<text class="soft" transform="translate({x:.1f} {y:.1f}) rotate(-90)" text-anchor="middle">{escape(words)}</text>')

    def mark(self, x: float, y: float, style: int, tip: str = "", *, filled: bool = True, size: float = 5.0) -> None:
        """The sign of a group: its colour and its shape."""
        kind = f"mark c{style % SHAPES}" + ("" if filled else " open")
        self.path([(x + size * a, y + size * b) for a, b in _OUTLINES[style % SHAPES]], kind, closed=True, tip=tip)

    def legend(self, groups: Sequence[str], styles: Sequence[int], y: float, left: float = 0.0) -> float:
        """One line or more of signs with their names; returns the lowest baseline."""
        x = left
        for group, style in zip(groups, styles, strict=True):
            width = 26 + CHARACTER * len(group)
            if x > left and x + width > WIDTH:
                x, y = left, y + 20
            self.mark(x + 7, y - 4, style)
            self.text(x + 18, y, group, "soft")
            x += width + 10
        return y

    def svg(self, height: float, name: str, title: str, alt: str, extra: str = "") -> str:
        """The whole figure, an image with a name and a description; `extra` stands first inside it."""
        opening = (
            f'<svg xmlns="http://www.w3.org/2000/svg" class="figure" viewBox="0 0 {WIDTH:.0f} {height:.0f}" role="img" '
            f'aria-labelledby="{name}-title {name}-alt">'
        )
        said = f'<title id="{name}-title">{escape(title)}</title><desc id="{name}-alt">{escape(alt)}</desc>'
        return opening + said + extra + "".join(self._parts) + "</svg>"


def styles_of(groups: Sequence[str]) -> dict[str, int]:
    """A style for each group: modes have their own, all other groups share the last mode's; where there is no mode, as they come."""
    names = list(dict.fromkeys(groups))
    if any(name in MODES for name in names):
        return {name: MODES.index(name) if name in MODES else len(MODES) - 1 for name in names}
    return in_order(names)


def in_order(names: Sequence[str]) -> dict[str, int]:
    """A style for each name as they come; from SHAPES on, they begin again."""
    return {name: ORDER[i % SHAPES] + SHAPES * (i // SHAPES) for i, name in enumerate(names)}


_QUARTER = ((0.4, -1.1), (0.4, -0.4), (1.1, -0.4))
"""The corners of a cross from its top to its right arm; turned three times, they go around it."""
_OUTLINES: tuple[tuple[tuple[float, float], ...], ...] = (
    ((0.92, 0.38), (0.38, 0.92), (-0.38, 0.92), (-0.92, 0.38), (-0.92, -0.38), (-0.38, -0.92), (0.38, -0.92), (0.92, -0.38)),
    ((-0.85, -0.85), (0.85, -0.85), (0.85, 0.85), (-0.85, 0.85)),
    ((0.0, -1.1), (1.05, 0.8), (-1.05, 0.8)),
    ((0.0, -1.2), (1.2, 0.0), (0.0, 1.2), (-1.2, 0.0)),
    ((0.0, 1.1), (1.05, -0.8), (-1.05, -0.8)),
    (
        *_QUARTER,
        *((-y, x) for x, y in _QUARTER),
        *((-x, -y) for x, y in _QUARTER),
        *((y, -x) for x, y in _QUARTER),
    ),
)
"""Octagon, square, triangle, diamond, triangle on its tip, cross; about 2 wide around the origin."""
