"""From recordings to models, and models held against recordings."""
