"""What a component is to its host: interfaces, values, faults, options. Needs no engine."""
