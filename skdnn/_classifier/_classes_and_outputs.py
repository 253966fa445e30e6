"""Classes that a user names, and outputs that are no classes: what is refused, and why."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Integral
from typing import Any

import numpy as np

from skdnn._array_blocks import not_finite
from skdnn._conditions import Conditions
from skdnn._extraction import ChosenLayers
from skdnn._images import ImageInputs
from skdnn._labels import check_labels, row_labels
from skdnn._wording import listed, nearest

LOGITS, PROBABILITIES = "logits", "probabilities"
_EXACT, _ROUGH = 1e-4, 2e-2  # how far from 1 a sum of probabilities is, in float32 and in 16 bits
_SHOWN = 5


@dataclass(frozen=True)
class KnownClasses:
    """The classes that a network knows, and what others call right."""

    names: np.ndarray
    synsets: np.ndarray | None

    def check(self, y: Any) -> None:
        """Refuse classes that the network has not."""
        wanted = _as_wanted(y)
        if wanted.dtype.kind in "iu":
            wrong = wanted[(wanted < 0) | (wanted >= len(self.names))]
            if wrong.size:
                raise ValueError(
                    f"y has the index {wrong[0]}, and the network's {len(self.names)} classes "
                    f"are counted from 0 to {len(self.names) - 1}."
                )
            return
        known = set(self.names.tolist())
        known.update(() if self.synsets is None else self.synsets.tolist())
        wrong_names = [name for name in dict.fromkeys(wanted.tolist()) if name not in known]
        if wrong_names:
            near = listed(nearest(wrong_names[0], known))
            raise ValueError(
                f"y has {len(wrong_names)} classes that the network does not know: "
                f"{wrong_names[:_SHOWN]}. {f'Did you mean {near}? ' if near else ''}"
                "classes_ lists the names, and synsets_ the synsets where they are known."
            )

    def is_right(self, y: Any, found: np.ndarray) -> np.ndarray:
        """Whether each found index is the wanted class."""
        wanted = _as_wanted(y)
        if wanted.dtype.kind in "iu":
            return np.asarray(wanted == found)
        right = self.names[found] == wanted
        return right if self.synsets is None else right | (self.synsets[found] == wanted)


def _as_wanted(y: Any) -> np.ndarray:
    """Classes as a vector of names or of whole numbers."""
    wanted = np.asarray(y)
    if wanted.ndim == 2 and wanted.shape[1] == 1:
        wanted = wanted[:, 0]
    if wanted.ndim != 1:
        raise ValueError(f"y must be one class for each image, got an array of {wanted.shape}.")
    if wanted.dtype.kind in "iu":
        return wanted
    odd = [value for value in np.asarray(y, dtype=object).flat if not isinstance(value, str)]
    if odd:
        raise TypeError(
            "y must hold names of classes or synsets (str), or indices of outputs (int); got "
            f"{odd[0]!r}."
        )
    return wanted.astype(str)


def check_rows(y: Any, conditions: Conditions | None) -> None:
    """One class for each image, and of the same image where rows are labelled."""
    if conditions is None:
        raise ValueError("y is given and X is not: give both, or none.")
    if np.shape(y)[:1] != (len(conditions),):
        raise ValueError(f"y has the shape {np.shape(y)}, and X has {len(conditions)} images.")
    check_labels(row_labels(y), conditions.known_names)


def check_k(k: Any, n_classes: int) -> None:
    if not isinstance(k, Integral) or isinstance(k, bool) or not 1 <= int(k) <= n_classes:
        raise ValueError(f"k={k!r} must be a whole number from 1 to {n_classes}, all classes.")


def count_outputs(layers: ChosenLayers, name: str) -> int:
    """How many values the network gives; classes are two at least, in one vector."""
    info = layers.captures[0].info
    parts = {key for _, key in info.variants if key is not None}
    if len(parts) > 1:
        raise ValueError(
            f"model={name!r} has {len(parts)} outputs ({', '.join(sorted(parts))}), and which of "
            "them holds the classes is not known: give a network that returns that one alone, "
            "e.g. a torch.nn.Module whose forward gives network(batch)[key], or "
            "keras.Model(network.inputs, network.outputs[i])."
        )
    if len(info.output_shape) != 1 or info.output_shape[0] < 2:
        raise ValueError(
            f"model={name!r} gives values of shape {info.output_shape} for an image, where a "
            "classifier gives one value for each of two or more classes. Its layers are for "
            "DNNFeatureExtractor."
        )
    return int(info.output_shape[0])


def kind_of(activation: str, name: str) -> str:
    if activation == "sigmoid":
        raise ValueError(
            f"model={name!r} ends in a sigmoid: its values are not probabilities of one class "
            "among several. Take them as features (DNNFeatureExtractor(layer='output')), or say "
            "output='logits' or output='probabilities' if you know better."
        )
    return PROBABILITIES if activation == "softmax" else LOGITS


def are_probabilities(values: np.ndarray, tolerance: float) -> bool:
    return bool(values.min(initial=0) >= 0 and np.allclose(values.sum(1), 1, 0, tolerance))


def means(rows: np.ndarray, conditions: Conditions) -> np.ndarray:
    """Rows of images, averaged where several make up one row of X."""
    if conditions.ends is None:
        return rows
    out = np.empty((len(conditions), rows.shape[1]))
    Conditions.mean(rows, conditions.ends, out)
    return out


def check_finite(values: np.ndarray, inputs: ImageInputs, name: str) -> None:
    """Refuse overflows, which would end as NaN."""
    wrong = not_finite(values)
    if wrong.size:
        raise ValueError(
            f"{name} gives values that are not finite for {wrong.size} image(s), among them "
            f"{inputs.names[wrong[0]]!r}. Use precision='float32', or look at the network and its "
            "preprocessing."
        )


def check_kind(values: np.ndarray, ends_in: str, output: str, is_rough: bool, name: str) -> None:
    """Never softmax twice, and never take for probabilities what is none."""
    if not len(values):
        return
    if ends_in == PROBABILITIES and not are_probabilities(values, _ROUGH):
        raise ValueError(
            f"{name} gives values that are no probabilities (below 0, or with sums other than "
            f"1), and output={output!r} takes them for such: use output='logits'."
        )
    found_out = output == "auto" and ends_in == LOGITS
    if found_out and are_probabilities(values, _ROUGH if is_rough else _EXACT):
        raise ValueError(
            f"{name} gives values that look like probabilities (none below 0, each row with the "
            "sum 1), and its last layer is no softmax: say output='probabilities', or "
            "output='logits' if they are none."
        )
