"""Models that are fitted to dissimilarities: reweighted features, mixtures, regressions."""
