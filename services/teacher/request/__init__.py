"""A request: read, checked, and brought to one form."""
