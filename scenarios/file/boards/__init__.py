"""Boards, host programs and runtimes: YAML files of figures, shipped ones and a user's own."""
