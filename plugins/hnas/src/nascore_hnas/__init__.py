"""HNAS: hierarchical representations and tournament evolution (Liu et al. 2018, arXiv:1711.00436)."""
