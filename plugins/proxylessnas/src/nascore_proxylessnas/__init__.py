"""ProxylessNAS: direct search on target task and hardware (Cai, Zhu and Han 2019, arXiv:1812.00332)."""
