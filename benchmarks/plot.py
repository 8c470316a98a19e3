"""Draw bars as SVG, without a library: a plot for README in a light and a dark version."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

# ink, grid, a bar, our bar; README stands on GitHub's own background
THEMES = {
    "light": ("#1f2328", "#d1d9e0", "#9aa4b0", "#0969da"),
    "dark": ("#f0f6fc", "#3d444d", "#656c76", "#4493f8"),
}
WIDTH = 760
LABELS = 210  # width of the names
_TOP = 62
_ROW = 34
_BAR = 20


def bars(title: str, origin: str, values: Sequence[tuple[str, float]], theme: str) -> str:
    """Return an SVG with a bar for each named value; those of Orderline have a colour of their own.

    Args:
        title: what the values are
        origin: the date and the machine of the measurement
        values: names and values, from the top
        theme: a key of THEMES
    """
    ink, grid, other, own = THEMES[theme]
    scale = (WIDTH - LABELS - 60) / max(value for _, value in values)
    height = _TOP + _ROW * len(values) + 8
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img"'
        f' font-family="system-ui, sans-serif" font-size="14" fill="{ink}">',
        f"<title>{escape(title)}</title>",
        f'<text x="0" y="18" font-size="16" font-weight="600">{escape(title)}</text>',
        f'<text x="0" y="40" font-size="12" opacity="0.8">{escape(origin)}</text>',
    ]
    for number, (name, value) in enumerate(values):
        y = _TOP + _ROW * number
        ours = name.startswith("Orderline")
        weight = ' font-weight="600"' if ours else ""
        length = value * scale
        parts += [
            f'<text x="{LABELS - 10}" y="{y + 15}" text-anchor="end"{weight}>{escape(name)}</text>',
            f'<rect x="{LABELS}" y="{y}" width="{length:.1f}" height="{_BAR}" rx="3"'
            f' fill="{own if ours else other}"/>',
            f'<text x="{LABELS + length + 8:.1f}" y="{y + 15}"{weight}>{value:.2f}</text>',
        ]
    bottom = _TOP + _ROW * len(values)
    parts.append(
        f'<line x1="{LABELS}" x2="{LABELS}" y1="{_TOP - 6}" y2="{bottom - 6}" stroke="{grid}"/>'
    )
    return "\n".join([*parts, "</svg>\n"])
