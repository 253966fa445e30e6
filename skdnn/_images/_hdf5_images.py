"""Images in an HDF5 dataset: one stack of pixels on disk, read image by image."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from typing import Any

import numpy as np

from skdnn._images._decode_with_pillow import ImageReadError
from skdnn._optional import import_optional


class HDF5Stack:
    """A dataset of pixels; in another process the file is opened anew, by its name.

    Parameters
    ----------
    dataset : h5py.Dataset
        Of uint8, shape (n, H, W, 3).
    """

    def __init__(self, dataset: Any) -> None:
        self.path = os.path.abspath(os.fsdecode(dataset.file.filename))
        self.dataset = str(dataset.name)
        self._is_in_memory = dataset.file.driver in ("core", "fileobj")
        # Pixels in memory or in other files, and what is open for writing, can change without
        # the time of this file.
        elsewhere = self._is_in_memory or dataset.is_virtual or dataset.external is not None
        self.is_constant = dataset.file.mode == "r" and not elsewhere
        self._process, self._open = os.getpid(), dataset

    def __getitem__(self, row: int) -> np.ndarray:
        if self._process != os.getpid() or not self._open:  # a child process, or closed meanwhile
            h5py = import_optional("h5py", "to read images from HDF5 files")
            self._process, self._open = os.getpid(), h5py.File(self.path, "r")[self.dataset]
        pixels: np.ndarray = self._open[row]
        return pixels

    def __getstate__(self) -> dict[str, Any]:
        if self._is_in_memory:
            raise ValueError(
                f"The HDF5 file of {self.dataset} lies in memory, where other processes can't "
                "read it: save it to disk, or use n_jobs=None."
            )
        return {**vars(self), "_process": -1, "_open": None}


@dataclass(frozen=True, eq=False)
class HDF5Image:
    """One image of a dataset, read when it is needed.

    Parameters
    ----------
    stack : HDF5Stack
    row : int
    """

    stack: HDF5Stack
    row: int

    @property
    def place(self) -> tuple[str, str, int]:
        """File, dataset and row: equal for the same image."""
        return self.stack.path, self.stack.dataset, self.row

    @property
    def name(self) -> str:
        """Dataset and row, e.g. ``"imgBrick[3]"``."""
        return f"{self.stack.dataset.lstrip('/')}[{self.row}]"

    def __repr__(self) -> str:
        return f"<{self.name} in {self.stack.path}>"

    def read(self) -> np.ndarray:
        """Give the pixels.

        Returns
        -------
        pixels : ndarray of uint8, shape (H, W, 3)

        Raises
        ------
        ImageReadError
            If the file cannot be read.
        """
        try:
            return self.stack[self.row]
        except (OSError, RuntimeError, ValueError, KeyError) as error:
            reason = f"it cannot be read from {self.stack.path} ({error})"
            raise ImageReadError(self.name, reason) from error


def is_hdf5(obj: Any) -> bool:
    """Whether `obj` is of h5py, without importing h5py for anything else."""
    h5py = sys.modules.get("h5py")
    return h5py is not None and isinstance(obj, h5py.HLObject)
