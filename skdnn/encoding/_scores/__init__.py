"""How well responses are predicted, voxel by voxel, and how sure that is."""
