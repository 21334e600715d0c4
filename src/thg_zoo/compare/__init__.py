"""The same source and driver through several models, side by side, with one table."""
