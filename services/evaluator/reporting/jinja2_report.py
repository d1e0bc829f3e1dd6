"""A document as one HTML file: no script, no outside request, and every word escaped by the template engine."""

import re
from base64 import b64encode
from hashlib import sha256
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from services.evaluator.reporting.charts import AnyChart
from services.evaluator.reporting.document import Block, Document
from services.evaluator.reporting.svg import figure
from services.evaluator.reporting.theme import FIGURE_STYLE, THEME

_HERE = Path(__file__).parent
_SIGNS = {"reached": "✓", "not reached": "✗", "not shown": "?"}
_CODE, _BOLD = re.compile(r"`([^`]+)`"), re.compile(r"\*\*([^*]+)\*\*")
_NUMERIC = re.compile(r"^[\s\d.,%+\-–−<\[\]e]+(, n = \d+)?$")


def html(document: Document) -> bytes:
    """The whole page. Its content security policy allows its own style, by hash, and nothing else."""
    style = Markup(THEME + FIGURE_STYLE + (_HERE / "report.css").read_text(encoding="utf-8"))  # noqa: S704 (own files)
    digest = b64encode(sha256(style.encode()).digest()).decode()
    page = _environment().get_template("report.html.j2")
    return page.render(document=document, style=style, style_hash=f"sha256-{digest}", signs=_SIGNS).encode()


def marked(text: str) -> Markup:
    """Own words with `code` and **bold** as elements; everything in them is escaped first."""
    coded = _CODE.sub(r"<code>\1</code>", str(escape(text)))
    return Markup(_BOLD.sub(r"<strong>\1</strong>", coded))  # noqa: S704 (escaped above)


def _environment() -> Environment:
    found = Environment(loader=FileSystemLoader(_HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    found.filters |= {"marked": marked, "kind": _kind, "drawn": _drawn}
    found.tests["numeric"] = lambda cell: bool(_NUMERIC.match(cell))
    return found


def _kind(block: Block) -> str:
    return type(block).__name__


def _drawn(chart: AnyChart) -> Markup:
    return Markup(figure.inline(chart))  # noqa: S704 (the canvas escapes all words)
