"""Tables on standard output: in colour and at the terminal's width there, plain and as wide as they are elsewhere."""

from collections.abc import Collection, Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table

_AS_WIDE_AS_IT_IS = 1000


def print_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], numbers: Collection[str]) -> None:
    """Print `rows` under `title`; the columns in `numbers` are aligned to the right."""
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=_AS_WIDE_AS_IT_IS)
    table = Table(title=escape(title), title_justify="left", box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, justify="right" if column in numbers else "left", overflow="fold")
    for row in rows:
        table.add_row(*(escape(cell) for cell in row))
    console.print(table)
