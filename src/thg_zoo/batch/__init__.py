"""Many animations at once: manifests, engines that run them, records that make a restart safe."""
