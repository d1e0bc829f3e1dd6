"""The data card beside the tracks: what the rows are, where they come from, what each filter took away, what they cost."""

from askback.loop.data_card.facts import card, file_facts
from askback.loop.data_card.text import markdown, sentence

__all__ = ["card", "file_facts", "markdown", "sentence"]
