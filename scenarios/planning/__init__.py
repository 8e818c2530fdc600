"""From a file to a world: devices wired, trouble put onto the timeline, what can be foreseen."""
