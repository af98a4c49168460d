"""`python -m genai_spine` is `genai-spine`."""

from genai_spine.cli.main import main

main()
