"""NAS-Bench-201 (Dong and Yang 2020, arXiv:2001.00326) as a table, for ``nascore compare``."""
