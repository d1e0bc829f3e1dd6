"""Keyword search."""

import os

# bm25s takes JAX for its top-k where it is installed, and JAX takes three quarters of the card's memory when it is imported.
os.environ.setdefault("JAX_PLATFORMS", "cpu")
