"""Measures of talking-head videos; definitions and directions are in docs/metrics.md."""
