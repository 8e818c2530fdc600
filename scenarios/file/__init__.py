"""A scenario's file: its keys, what it may name, how it is read and saved."""
