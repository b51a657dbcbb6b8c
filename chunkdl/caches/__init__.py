"""What lies in the caches, what of it may go, and whether it is what it says: the hub's, torch's, our own parts."""
