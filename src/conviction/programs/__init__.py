"""A run as a program that does without this package: script and notebook."""
