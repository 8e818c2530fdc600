"""``python -m twinloop``: the command."""

from twinloop.scenarios.cli.start import script

if __name__ == "__main__":
    script()
