"""What a timeline does to links, gateways and devices, and what is stuck after it."""
