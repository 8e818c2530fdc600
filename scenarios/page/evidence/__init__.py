"""Report pages about many runs: seeds, sweeps, sizes, differences."""
