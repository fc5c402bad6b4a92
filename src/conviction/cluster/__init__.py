"""Work on a Ray cluster: the connection, and what runs there."""
