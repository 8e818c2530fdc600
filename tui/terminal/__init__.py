"""The application: keys, the clock, screens."""
