"""What plays the notes: drum kits, soundfonts, synthesisers, effects."""
