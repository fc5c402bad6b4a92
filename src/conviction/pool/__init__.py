"""Tasks in worker processes, of this machine or of a Ray cluster, with one contract."""
