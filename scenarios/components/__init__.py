"""What an engineer does with a component by itself: begin one, look into it, try it."""
