"""A hub on this machine for a program that knows nothing of chunkdl: what it asks for, the engine fetches."""
