"""What each screen shows, as lines of text: pure functions of a plan, a view and a size."""
