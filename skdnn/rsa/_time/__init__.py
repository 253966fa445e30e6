"""RSA in time: movies of RDMs, and layers' time courses."""
