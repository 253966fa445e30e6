"""RSA around each voxel or vertex: neighbourhoods, their RDMs, scores, maps and a group test."""
