"""What is known about mirrors: which there are, how they do, what past runs taught."""
