"""From proven bytes to the places where loaders look; the only stage that makes final files."""
