"""The layer of each voxel."""
