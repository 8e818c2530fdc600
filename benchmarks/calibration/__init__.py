"""How good are calibrated figures? This machine calibrated as a board, and exports that it didn't see
predicted.

Belongs here: the exports that are held out, what is predicted and measured of them. Never: calibrating itself
(scenarios/calibration)."""
