"""``chunkdl doctor``: probes that look at settings, network and disk, and pure judgement of what they saw."""
