"""Device models as files: what a datasheet says."""
