"""A field without gateways, for clients of the real world: served, and judged by what arrives."""
