"""The 3-D face model: alignment of faces, its coefficients, and their order."""
