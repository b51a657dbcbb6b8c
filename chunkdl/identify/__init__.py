"""From a typed name to an immutable artifact: the only stage that talks metadata."""
