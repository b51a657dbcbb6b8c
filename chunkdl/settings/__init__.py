"""Settings: flags before environment before the user's settings file before defaults, each with its provenance."""

from chunkdl.settings.load import load_settings
from chunkdl.settings.values import Flags, Settings, Trust, mirror_at

__all__ = ["Flags", "Settings", "Trust", "load_settings", "mirror_at"]
