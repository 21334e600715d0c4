"""One source and one driver through several models: results side by side, measured, and reported."""
