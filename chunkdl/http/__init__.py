"""HTTP as a client speaks it: the only importer of aiohttp's client."""
