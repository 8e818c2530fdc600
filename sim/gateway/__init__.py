"""One gateway: its life, components in slots, the way of a sample, who reads devices, its limits."""
