"""The status page of a batch run: one HTML file, kept up to date by server-sent events, read-only."""

from chunkdl.batch.page.server import Page, serving

__all__ = ["Page", "serving"]
