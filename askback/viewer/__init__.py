"""A page on loopback to read the traces of one run: what was drafted, asked, answered and rewritten, and what became of every row."""
