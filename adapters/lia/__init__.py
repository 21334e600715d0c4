"""LIA: Latent Image Animator (Wang et al., ICLR 2022)."""
