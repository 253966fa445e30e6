from ._brain_hierarchy import fetch_brain_hierarchy
from ._hdf5_stacks import load_hdf5_images
from ._image_folders import load_image_folder
from ._kriegeskorte92 import fetch_kriegeskorte92
from ._simulated_study import make_study
from ._things import load_things

__all__ = [
    "fetch_brain_hierarchy",
    "fetch_kriegeskorte92",
    "load_hdf5_images",
    "load_image_folder",
    "load_things",
    "make_study",
]
