"""Work that takes longer than a request: the queue, its processes, where they stand, and the helper process."""
