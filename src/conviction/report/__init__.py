"""What a person sees of a run: plain data of each step first, then the terminal and the page."""
