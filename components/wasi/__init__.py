"""WASI 0.2 as a component may import it: its functions, their types, what a grant covers."""
