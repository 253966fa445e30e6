"""Find image files, check them before any work is done, and read them as a person sees them."""

from skdnn._images._check import check_images
from skdnn._images._decode import ImageReadError
from skdnn._images._hdf5 import HDF5Image
from skdnn._images._inputs import ImageInputs, as_image_inputs, batches_of, images_of, is_prepared
from skdnn._images._list import EXTENSIONS, list_images
from skdnn._images._read import BACKGROUND, read_image
from skdnn._labels import natural_key

__all__ = [
    "BACKGROUND",
    "EXTENSIONS",
    "HDF5Image",
    "ImageInputs",
    "ImageReadError",
    "as_image_inputs",
    "batches_of",
    "check_images",
    "images_of",
    "is_prepared",
    "list_images",
    "natural_key",
    "read_image",
]
