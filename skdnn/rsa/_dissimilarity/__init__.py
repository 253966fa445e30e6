"""From patterns to dissimilarity matrices."""
