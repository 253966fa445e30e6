"""Encoding and decoding: brain responses from features, features from brain responses."""
