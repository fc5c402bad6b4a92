"""One module for each exercise."""
