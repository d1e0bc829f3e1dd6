"""Which index suits a count of vectors and a memory."""

from math import ceil, log2

from askback.contracts.errors import InvalidInput
from askback.contracts.records import Record
from services.retriever.vectors.scalar_codes import Bits
from services.retriever.vectors.settings import Layout, VectorSettings

_SERVICE_GB = 0.9
"""What the embedder, the words and the passages' offsets hold beside the vectors."""
LEARNT_FROM = 48
"""Vectors a list that its centroid is learnt from."""
_ID_BYTES = 8


class Plan(Record):
    """`lists` and `subquantisers` are 0 where the search is exact."""

    layout: Layout
    count: int
    dimension: int
    lists: int = 0
    subquantisers: int = 0
    bits: Bits = 8


def choose_plan(count: int, dimension: int, settings: VectorSettings) -> Plan:
    """Exact below `settings.exact_below`; above, the layout of the best recall that fits into the memory. Raises InvalidInput where none does."""
    asked = settings.layout
    if asked is Layout.EXACT or (asked is Layout.AUTO and count < settings.exact_below):
        return Plan(layout=Layout.EXACT, count=count, dimension=dimension)
    lists = settings.lists or _lists(count)
    subquantisers = settings.subquantisers or _subquantisers(count, dimension)
    if dimension % subquantisers or subquantisers % 2:
        raise InvalidInput(f"subquantisers: {subquantisers} is odd or does not divide {dimension} dimensions")
    small = count * (subquantisers / 2 + _ID_BYTES) + lists * dimension * 4
    room = (settings.memory_gb - _SERVICE_GB) * 1e9
    # what half precision orders again may be coarse; eight bits found nothing more there, at twice the memory
    bits = settings.bits or (8 if asked is Layout.MEMORY or dimension % 2 else 4)
    if asked is Layout.AUTO:
        if small > room:
            least = small / 1e9 + _SERVICE_GB
            raise InvalidInput(f"memory_gb: {settings.memory_gb:g} GB do not hold {count} vectors; give at least {least:.1f}, or use Qdrant")
        asked = Layout.DISK if small + count * dimension * bits / 8 <= room else Layout.SMALL
    return Plan(layout=asked, count=count, dimension=dimension, lists=lists, subquantisers=subquantisers, bits=bits)


def _lists(count: int) -> int:
    """The power of two near 4 √count, as far as the vectors suffice to learn so many."""
    near = 2 ** ceil(log2(4 * count**0.5) - 0.1)
    while near > 1 and near * LEARNT_FROM > count:
        near //= 2
    return int(near)


def _subquantisers(count: int, dimension: int) -> int:
    """A third of the dimensions, or a quarter where that does not go."""
    return next((dimension // part for part in (3, 4, 2, 1) if dimension % part == 0 and dimension // part % 2 == 0), dimension)
