"""AutoML-Zero: evolving machine learning programs from scratch (Real, Liang, So and Le 2020, arXiv:2003.03384)."""
