"""Shared torch parts of the nascore methods. Importing this package imports nothing heavy."""
