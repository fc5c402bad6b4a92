"""Who may come in: hosts, tokens, cookies, and how many tries are allowed."""
