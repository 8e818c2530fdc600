"""A field that another process serves, as it is seen from the terminal."""
