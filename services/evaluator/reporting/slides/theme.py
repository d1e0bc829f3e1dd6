"""The deck's colours and fonts, as the theme part that every slide, table and chart refers to."""

import re

FONT = "Arial"
COLOURS = {
    "dk1": "1D2733",
    "lt1": "FFFFFF",
    "dk2": "24405E",
    "lt2": "F1F4F8",
    "accent1": "2F5D8C",
    "accent2": "B4540A",
    "accent3": "0F766E",
    "accent4": "9D2463",
    "accent5": "5B4B9E",
    "accent6": "6B5B4B",
    "hlink": "2F5D8C",
    "folHlink": "5B4B9E",
}
"""Every accent has a contrast of at least 4.5 with white, since white text stands on it."""
QUIET = "4A5766"
GRID = "D5DBE3"
ACCENTS = {"direct": 1, "cot": 2, "context": 3, "assisted": 4, "closed_book": 5, "tutored": 6}
"""The accent of a mode; whatever else is shown has the sixth as well, and the majority baseline `QUIET`."""


def themed(theme: bytes) -> bytes:
    """A theme part with the deck's colours and fonts in the place of its own."""
    text = theme.decode("utf-8")
    scheme = "".join(f'<a:{name}><a:srgbClr val="{value}"/></a:{name}>' for name, value in COLOURS.items())
    text = re.sub(r"<a:clrScheme .*?</a:clrScheme>", f'<a:clrScheme name="askback">{scheme}</a:clrScheme>', text, flags=re.DOTALL)
    for face in ("majorFont", "minorFont"):
        fonts = f'<a:{face}><a:latin typeface="{FONT}"/><a:ea typeface=""/><a:cs typeface=""/></a:{face}>'
        text = re.sub(rf"<a:{face}>.*?</a:{face}>", fonts, text, flags=re.DOTALL)
    return text.encode("utf-8")


def blend(share: float) -> str:
    """The ground of a heat map's cell: white at 0, the second dark colour at 1, as six hexadecimal digits."""
    full = [int(COLOURS["dk2"][i : i + 2], 16) for i in (0, 2, 4)]
    return "".join(f"{round(255 + (channel - 255) * share):02X}" for channel in full)


def text_on(ground: str) -> str:
    """White or black, whichever stands out more: at least 4.58 to 1 on any ground."""
    return "FFFFFF" if contrast("FFFFFF", ground) > contrast("000000", ground) else "000000"


def contrast(one: str, other: str) -> float:
    """WCAG's contrast ratio of two colours, from 1 to 21."""
    light, dark = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def _luminance(colour: str) -> float:
    channels = [int(colour[i : i + 2], 16) / 255 for i in (0, 2, 4)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
