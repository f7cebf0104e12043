"""SNAS: stochastic neural architecture search (Xie, Zheng, Liu and Lin 2019, arXiv:1812.09926)."""
