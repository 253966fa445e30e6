"""Trials by channels by times: arrays, or epochs of MNE."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from skdnn.rsa._dissimilarity._patterns import encode
from skdnn.rsa._time._rdm_movie import check_times

Array = NDArray[np.float64]

# Trials that tell how large the numbers of channels are.
_LOOKED_AT = 50


@dataclass(frozen=True)
class EpochData:
    """Measurements, and what each trial and sample is."""

    trials: NDArray[Any]  # (n_trials, n_channels, n_samples)
    times: Array  # (n_samples,) in seconds
    codes: NDArray[np.intp] | None  # of the condition of each trial; None: each is one
    conditions: pd.Index | None
    scales: dict[str, float]  # of channels by their type, where that is known

    @property
    def n_conditions(self) -> int:
        """Number of conditions."""
        return len(self.trials) if self.conditions is None else len(self.conditions)


def read_epochs(epochs: Any, times: Any, conditions: Any) -> EpochData:
    """An array or epochs of MNE, with labels of the trials."""
    scales: dict[str, float] = {}
    if _is_mne(epochs):
        if times is not None:
            raise ValueError("Epochs of MNE have times of their own: leave times= out.")
        values = epochs.get_data(picks="data", copy=False)
        scales = _scales(values, epochs.get_channel_types(picks="data"))
        times, conditions = epochs.times, _labels_of_mne(epochs, conditions)
    else:
        _refuse_others_of_mne(epochs)
        values = _as_array(epochs)
    if values.dtype not in (np.float32, np.float64):
        if values.dtype.kind not in "biuf":
            raise ValueError(f"epochs has dtype {values.dtype}: real numbers are needed.")
        values = values.astype(np.float64)
    if values.ndim != 3 or values.size == 0:
        raise ValueError(
            f"epochs has shape {values.shape}: (n_trials, n_channels, n_times) is needed."
        )
    seconds = check_times(times, values.shape[2], f"epochs of shape {values.shape}")
    codes, labels = None, None
    if conditions is not None:
        check_length(conditions, "conditions", values)
        codes, labels = encode(conditions, len(values), "conditions", None)
    found = EpochData(values, seconds, codes, labels, scales)
    if found.n_conditions < 3:
        raise ValueError(
            f"epochs has {found.n_conditions} conditions: an RDM that can be compared needs three."
        )
    return found


def check_length(labels: Any, name: str, trials: NDArray[Any]) -> None:
    """Raise ValueError unless there is a label for each trial."""
    n_labels = len(labels) if hasattr(labels, "__len__") else len(list(labels))
    if n_labels != len(trials):
        raise ValueError(
            f"{name} has {n_labels} labels for {len(trials)} trials: epochs has shape "
            f"{trials.shape}, (n_trials, n_channels, n_times)."
        )


def _as_array(epochs: Any) -> NDArray[Any]:
    """Numbers, of one subject."""
    if isinstance(epochs, str | os.PathLike):
        raise TypeError(
            f"epochs={os.fspath(epochs)!r} is the name of a file: read it first, such as by "
            "mne.read_epochs."
        )
    each = "of one subject are needed: compute a movie of each, and give them as a dict by subject"
    if isinstance(epochs, Mapping):
        raise TypeError(f"epochs is a dict, and those {each}.")
    try:
        values = np.asarray(epochs)
    except ValueError as error:  # of arrays that are not of one shape
        raise ValueError(f"epochs is a list of arrays of several shapes, and those {each}.") from (
            error
        )
    if values.ndim == 4:
        raise ValueError(f"epochs has shape {values.shape}, and those {each}.")
    return values


def _is_mne(epochs: Any) -> bool:
    """Whether it is of a class of MNE, which need not be installed."""
    mne = sys.modules.get("mne")
    return mne is not None and isinstance(epochs, mne.BaseEpochs)


def _refuse_others_of_mne(epochs: Any) -> None:
    """Raise TypeError for what MNE holds besides epochs, and say what to do with it."""
    first = epochs[0] if isinstance(epochs, list | tuple) and epochs else epochs
    kinds = {kind.__name__ for kind in type(first).__mro__ if kind.__module__.startswith("mne.")}
    if not kinds:
        return
    advice = "give mne.Epochs, or an array (n_trials, n_channels, n_times) with times="
    if "Evoked" in kinds:
        advice = (
            "it is a mean over trials. Give the mne.Epochs that it was made of; or of one Evoked "
            "for each condition np.stack([one.data for one in evokeds]), with times= and "
            "conditions="
        )
    elif "BaseRaw" in kinds:
        advice = "cut it into mne.Epochs around the events first"
    several = " in a list" if first is not epochs else ""
    raise TypeError(f"epochs is {type(first).__name__} of MNE{several}: {advice}.")


def _scales(values: NDArray[Any], types: list[str]) -> dict[str, float]:
    """Standard deviation of a channel of each type over times, if there are several."""
    of, kinds = np.array(types), dict.fromkeys(types)
    if len(kinds) < 2:
        return {}
    some = values[:: 1 + len(values) // _LOOKED_AT]
    return {kind: float(some[:, of == kind].std(axis=2).mean()) for kind in kinds}


def _labels_of_mne(epochs: Any, conditions: Any) -> Any:
    """Labels of trials: as given, of a column of the metadata, or by event."""
    if isinstance(conditions, str):
        metadata = epochs.metadata
        if metadata is None or conditions not in metadata:
            known = [] if metadata is None else list(metadata.columns)
            raise ValueError(
                f"conditions={conditions!r} is no column of the epochs' metadata: it has {known}."
            )
        return metadata[conditions].to_numpy()
    if conditions is not None:
        return conditions
    names = {code: name for name, code in epochs.event_id.items()}
    return [names[code] for code in epochs.events[:, 2]]
