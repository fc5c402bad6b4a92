"""Work that takes longer than a request: the queue, its processes, their state, and the helper process."""
