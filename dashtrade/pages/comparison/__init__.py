"""Several symbols side by side."""
