"""LivePortrait: a portrait moved like a driving video, with stitching and retargeting (Guo et al., 2024)."""
