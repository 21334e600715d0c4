"""DaGAN: depth-aware talking heads (Hong et al., CVPR 2022)."""
