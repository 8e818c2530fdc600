"""The engine's process: commands in, views out."""
