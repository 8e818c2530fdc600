"""How drivers reach devices: connections and lines, simulated or real."""
