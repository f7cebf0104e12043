"""SMASH: One-Shot Model Architecture Search through HyperNetworks (Brock et al. 2017, arXiv:1708.05344)."""
