"""face-vid2vid: one-shot free-view talking heads (Wang et al., CVPR 2021), in the community reproduction."""
