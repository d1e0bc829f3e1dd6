"""The page at `/`: ask the student, watch each step arrive, compare adapters and modes."""
