"""FOMM: First Order Motion Model for image animation (Siarohin et al., NeurIPS 2019)."""
