"""A run as a program of its own, without this package: script and notebook."""
