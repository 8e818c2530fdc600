"""What a world is made of, as data: specifications, boards, presets of stores."""
