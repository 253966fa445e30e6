"""Repeated presentations: averages, reliability, folds that keep an image together."""
