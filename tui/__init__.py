"""The terminal: a run that is looked at, held and troubled while it goes. The only folder that imports
textual."""
