"""IP_LAP: identity-preserving talking faces with landmark and appearance priors (Zhong et al., CVPR 2023)."""
