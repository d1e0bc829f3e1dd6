"""What a run will cost, before anything is spent."""

from askback.loop.estimate.forecast import estimate
from askback.loop.estimate.result import Amount, Comparison, Estimate, Item, PlanLine, StudentItem

__all__ = ["Amount", "Comparison", "Estimate", "Item", "PlanLine", "StudentItem", "estimate"]
