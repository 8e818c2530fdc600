"""Who looks on while a field is served: what is told to them, and the door at which they ask."""
