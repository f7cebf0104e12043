"""DARTS: differentiable architecture search (Liu, Simonyan and Yang 2019, arXiv:1806.09055)."""
