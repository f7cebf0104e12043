"""One-Shot: Bender et al. 2018, Understanding and Simplifying One-Shot Architecture Search (ICML)."""
