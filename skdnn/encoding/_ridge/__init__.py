"""Ridge regression with a penalty for each voxel."""
