"""MetaQNN: tabular Q-learning of layers in a chain (Baker, Gupta, Naik and Raskar 2017, arXiv:1611.02167)."""
