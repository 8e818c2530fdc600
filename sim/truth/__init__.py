"""What devices really showed, and whether drivers read that."""
