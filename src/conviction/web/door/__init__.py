"""Who may come in: hosts, tokens, cookies, and how often somebody may try."""
