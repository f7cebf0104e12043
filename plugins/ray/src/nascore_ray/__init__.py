"""Trials on a Ray cluster, as an executor of nascore."""
