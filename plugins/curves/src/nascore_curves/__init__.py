"""Learning-curve prediction (Baker et al. 2018, arXiv:1705.10823): a trial stops when its predicted end cannot win."""
