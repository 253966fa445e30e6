"""Comparisons of RDMs and of representations, and their ceilings."""
