"""Several feature spaces in one model: a penalty for each of them, and what each explains."""
