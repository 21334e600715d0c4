"""Key points: what they are, how a driver moves them, head pose, and the best frame to begin with."""
