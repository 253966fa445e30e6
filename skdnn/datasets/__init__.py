"""Folders of stimuli, and data sets that are fetched once and checked against their hashes."""

from skdnn.datasets._brain_hierarchy import fetch_brain_hierarchy
from skdnn.datasets._hdf5 import load_hdf5_images
from skdnn.datasets._images import load_image_folder
from skdnn.datasets._kriegeskorte92 import fetch_kriegeskorte92
from skdnn.datasets._things import load_things

__all__ = [
    "fetch_brain_hierarchy",
    "fetch_kriegeskorte92",
    "load_hdf5_images",
    "load_image_folder",
    "load_things",
]
