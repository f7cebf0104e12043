"""AmoebaNet: aging evolution (Real, Aggarwal, Huang and Le 2018, arXiv:1802.01548)."""
