"""Warp: a classical talking head, every frame of which is the source picture, displaced (see README.md)."""
