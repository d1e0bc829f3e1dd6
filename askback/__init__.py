"""askback: teach a small model to ask, harvest a teacher's answers, distil them back, and measure the gain."""

__version__ = "0.1.0"
