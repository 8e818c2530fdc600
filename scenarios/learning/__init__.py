"""Model files of devices that somebody has: from a list, from what a tool printed, from the device itself."""
