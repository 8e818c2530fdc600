"""Components at work: compiled, instantiated, called, measured."""
