"""What more than one run says: many seeds, sweeps, sizes, differences between two results."""
