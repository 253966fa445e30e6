"""Find image files, check them before any work is done, and read them as a person sees them."""

from skdnn._images._check_files import check_images
from skdnn._images._decode_with_pillow import ImageReadError
from skdnn._images._hdf5_images import HDF5Image
from skdnn._images._image_inputs import (
    ImageInputs,
    as_image_inputs,
    batches_of,
    images_of,
    is_prepared,
)
from skdnn._images._list_files import EXTENSIONS, list_images
from skdnn._images._upright_rgb import BACKGROUND, read_image
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
