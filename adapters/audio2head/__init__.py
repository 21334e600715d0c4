"""Audio2Head: one-shot talking heads with natural head motion from speech (Wang et al., IJCAI 2021)."""
