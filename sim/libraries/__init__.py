"""Protocol libraries in simulated time: an event loop, transports, clocks and entropy of their own."""
