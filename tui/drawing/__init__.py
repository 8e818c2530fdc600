"""Words, bars, frames and panes in cells of a terminal."""
