"""A model in a package of its own: shows the picture and its mirror image in turn."""
