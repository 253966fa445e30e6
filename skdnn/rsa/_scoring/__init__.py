"""Scores in scikit-learn's cross-validation."""
