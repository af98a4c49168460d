"""Symbol documentation: short descriptions of the symbols of a code base, a batch at a time."""
