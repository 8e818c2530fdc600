"""OPC UA servers of devices, and what they depart from asyncua in."""
