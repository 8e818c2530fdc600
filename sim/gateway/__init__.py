"""One gateway: its life, components in slots, the way of a sample, its store and uplink, its limits."""
