"""One folder per model: options, glue, networks, and the card for people."""
