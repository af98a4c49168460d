"""`python -m genai_spine` is `genai-spine`."""

from genai_spine.cli import main

main()
