"""The one version string of every distribution in this repository."""

__version__ = "0.1.0"
