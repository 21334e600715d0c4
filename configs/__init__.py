"""Model cards: everything about a model that is not code, as data."""
