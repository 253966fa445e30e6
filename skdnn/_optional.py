"""Import a package when it is first used, or say what it is needed for and how to install it."""

from __future__ import annotations

import importlib
import importlib.util
import sys
import warnings
from types import ModuleType
from typing import Any

# Which extra of ours brings a package, where it is not one of the required ones.
_EXTRAS = {
    "tensorflow": "tensorflow",
    "keras": "tensorflow",
    "open_clip": "clip",
    "timm": "timm",
    "transformers": "hf",
    "dask": "dask",
    "distributed": "dask",
    "nibabel": "nifti",
    "nilearn": "nilearn",
    "himalaya": "himalaya",
    "pyarrow": "parquet",
}


def import_optional(name: str, purpose: str) -> ModuleType:
    """Import `name`, or raise an ImportError that says what it is for and how to get it.

    Parameters
    ----------
    name : str
        Module to import, e.g. ``"torchvision.models"``.
    purpose : str
        What the caller needs it for, as the end of "... is needed ".

    Returns
    -------
    module : module

    Raises
    ------
    ImportError
        If the package is not installed.
    """
    root = name.partition(".")[0]
    if root in ("torch", "torchvision"):
        _make_torch_safe_after_tensorflow()
    if "IPython" in sys.modules:
        _import_tqdm_quietly()
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != root:
            raise
        extra = _EXTRAS.get(root)
        install = f'pip install "skdnn[{extra}]"' if extra else f"pip install {root}"
        raise ImportError(f"{root} is needed {purpose}. Install it with: {install}") from error


def _import_tqdm_quietly() -> None:
    """Without its warning that bars of ipywidgets are missing: timm and others import it."""
    if "tqdm.autonotebook" not in sys.modules:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "IProgress not found")
            importlib.import_module("tqdm.autonotebook")


def _make_torch_safe_after_tensorflow() -> None:
    """Hide triton while torchvision is imported behind tensorflow.

    Both register the same LLVM option, and the second one to do so aborts the process. Where
    tensorflow came first, triton must not be loaded any more; torch.compile on a GPU is the price.
    """
    if "tensorflow" not in sys.modules or "triton" in sys.modules:
        return
    if importlib.util.find_spec("triton") is None:
        return
    hidden: dict[str, Any] = sys.modules  # None is how Python marks "do not import"
    hidden["triton"] = None
    warnings.warn(
        "tensorflow was imported before torch: triton is switched off in this process, because "
        "loading both in this order crashes Python. Only torch.compile on a GPU needs it; "
        "to have it, import torchvision before tensorflow.",
        UserWarning,
        stacklevel=3,
    )
