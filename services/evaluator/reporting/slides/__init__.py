"""The run as a deck of 16:9 slides that a person can hand in, and edit."""

from services.evaluator.reporting.slides.deck import deck as deck
