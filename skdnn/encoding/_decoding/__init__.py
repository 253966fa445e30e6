"""Units of a network from patterns of voxels."""
