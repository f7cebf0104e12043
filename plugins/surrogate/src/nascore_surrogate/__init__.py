"""Predictor-guided search: a Gaussian process over decisions chooses what to evaluate next."""
