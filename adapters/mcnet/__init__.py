"""MCNet: talking heads with a memory of faces (Hong and Xu, ICCV 2023)."""
