"""The whole lab in order, a file for each verb."""
