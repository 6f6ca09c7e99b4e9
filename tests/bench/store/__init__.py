"""A synthetic profile store: what its rows are, and how they lie in files."""
