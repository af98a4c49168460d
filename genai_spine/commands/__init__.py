"""Groups of commands, one file each, as `genai-spine GROUP COMMAND`."""
