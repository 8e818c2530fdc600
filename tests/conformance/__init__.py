"""One body, two arms: the same assertions on the simulated bus and on a loopback socket."""
