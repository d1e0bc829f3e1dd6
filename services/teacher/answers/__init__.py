"""Answers: what they are, where they are kept, and those that were recorded before."""
