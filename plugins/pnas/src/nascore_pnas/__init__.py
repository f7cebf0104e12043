"""PNAS: progressive neural architecture search (Liu et al. 2018, arXiv:1712.00559)."""
