"""Folders of stimuli, and data sets that are fetched once and checked against their hashes."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
