"""The student's door: what reaches the engine, for how long, and what is counted of it. Plain ASGI, for speed."""
