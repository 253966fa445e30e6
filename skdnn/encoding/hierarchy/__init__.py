"""The brain hierarchy score."""
