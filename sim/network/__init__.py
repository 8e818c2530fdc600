"""Links, what trouble may do to a packet, TCP's timing, serial lines."""
