"""Path-level network transformation (Cai et al. 2018b, arXiv:1806.02639)."""
