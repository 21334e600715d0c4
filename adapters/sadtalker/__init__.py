"""SadTalker: one portrait and speech to a talking-head video (Zhang et al., CVPR 2023)."""
