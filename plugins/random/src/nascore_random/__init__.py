"""Random search: the baseline that every method must beat at equal cost."""
