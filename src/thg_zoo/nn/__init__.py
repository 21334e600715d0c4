"""Building blocks of the published networks, and exact ways to compute them faster."""
