"""What learners work with: the lab, desks, the network as it is edited, sources, uploads, the course."""
