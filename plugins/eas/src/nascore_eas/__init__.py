"""EAS: search by network transformation (Cai et al. 2018a, arXiv:1707.04873)."""
