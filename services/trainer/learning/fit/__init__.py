"""Fit a job to its card: the passes that train fastest within the memory, with the least computed twice. `planner.planned` is the whole of it."""
