"""What several test files share: data, networks, and packages that are imported late."""
