"""A second opinion: a plain, slow model of small plants that shares no code with twinloop, and says what the
books must hold.

Belongs here: what README and ARCHITECTURE say of polls, links, lines, stores and subscriptions, written down
once more as simply as it goes.
Never: anything imported from twinloop's rooms (tests/sim/test_oracle.py asks), speed, prices of CPU time.
"""
