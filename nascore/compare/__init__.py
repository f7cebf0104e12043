"""A fair comparison of samplers: one benchmark, equal budgets, many seeds.

Imports nothing heavy; ``nascore.compare.api.compare`` does the work.
"""
