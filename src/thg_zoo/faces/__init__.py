"""Faces: found, chosen, followed, cropped, and put back. See docs/faces.md."""
