"""One supernet under DARTS, SNAS, ProxylessNAS, ENAS and One-Shot; see :mod:`nascore_blocks.supernet.network`."""
