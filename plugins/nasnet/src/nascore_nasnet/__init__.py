"""NASNet: an LSTM controller trained by PPO (Zoph, Vasudevan, Shlens and Le 2018, arXiv:1707.07012)."""
