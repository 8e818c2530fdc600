"""A reader of runs for the terminal. Its room; nothing lives here yet."""
