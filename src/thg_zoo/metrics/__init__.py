"""Measures of talking videos, with and without a reference. docs/metrics.md defines them."""
