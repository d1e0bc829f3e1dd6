"""Buying an answer from a server that speaks OpenAI's API."""
