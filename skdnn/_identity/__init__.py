"""What was computed by what: networks, code, versions and files told apart by their content."""
