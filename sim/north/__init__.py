"""A gateway's way north: the session with the cloud, and the store behind it."""
