"""Search without labels (Liu et al. 2020): an architecture is judged by a task that its images pose by themselves."""
