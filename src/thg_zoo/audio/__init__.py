"""Speech features, one function per published definition, whole or streamed."""
