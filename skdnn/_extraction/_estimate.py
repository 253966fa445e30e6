"""What an extraction will take, before it is started."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd
from joblib import effective_n_jobs

from skdnn._conditions import Conditions
from skdnn._digests import digest_images
from skdnn._extraction._forward import distinct
from skdnn._extraction._measure import seconds_per_image
from skdnn._extraction._stored import absent_rows, bytes_to_write, group_rows, identify
from skdnn._extraction._work import Work
from skdnn._html import card, facts_in
from skdnn._images import ImageInputs, check_images
from skdnn._layers import LayerInfo
from skdnn._threads import cores
from skdnn._wording import in_bytes, in_time
from skdnn.models import Preprocessing
from skdnn.models._model_spec import needs_download

Groups = list[tuple[list[str], np.ndarray]]


@dataclass(frozen=True)
class ExtractionEstimate:
    """What an extraction will take.

    Given by :meth:`skdnn.DNNFeatureExtractor.estimate`.

    Parameters
    ----------
    model : str
        The network.
    layers : list of str
        Layers asked for.
    n_images : int
        Images given.
    n_to_forward : int
        Those of them that will go through the network: 0 where all is stored.
    n_units : dict of str to int
        Features of one image in each layer.
    result_bytes : int
        Size of the features asked for, as float32.
    store_bytes : int or None
        What will be written to the cache, `prefetch` included; None without a cache.
    free_bytes : int or None
        Space left on the cache's disk; None without a cache.
    peak_bytes : int
        Memory at once, roughly: the result; and where images are forwarded, the weights (twice
        where they are read from a file), the two largest activations and all captured layers of a
        batch, and images that wait for their turn. On a GPU, weights and activations lie there.
        Python, the frameworks themselves and workers beside the first are not counted.
    seconds : float or None
        Time in one process on this machine, from one batch; None if nothing was measured.

    See Also
    --------
    skdnn.DNNFeatureExtractor.estimate : Makes one.

    Examples
    --------
    >>> import numpy as np
    >>> from skdnn import DNNFeatureExtractor
    >>> images = np.zeros((3, 50, 50, 3), dtype=np.uint8)
    >>> extractor = DNNFeatureExtractor("alexnet", "features.3", weights=None)
    >>> estimate = extractor.estimate(images, measure=False)
    >>> estimate.n_to_forward, estimate.n_units, estimate.result_bytes
    (3, {'features.3': 139968}, 1679616)
    """

    model: str
    layers: list[str]
    n_images: int
    n_to_forward: int
    n_units: dict[str, int]
    result_bytes: int
    store_bytes: int | None
    free_bytes: int | None
    peak_bytes: int
    seconds: float | None

    def to_dict(self) -> dict[str, Any]:
        """Give all attributes as values that JSON can hold.

        Returns
        -------
        attributes : dict
            By name.
        """
        return asdict(self)

    def __str__(self) -> str:
        lines = [
            f"network   {self.model}",
            f"images    {self.n_images}, of which {self.n_to_forward} go through the network",
            f"layers    {self._layers()}",
            f"result    {in_bytes(self.result_bytes)}",
        ]
        if self.store_bytes is not None and self.free_bytes is not None:
            free = in_bytes(self.free_bytes)
            lines.append(f"disk      {in_bytes(self.store_bytes)} to write, {free} free")
        lines.append(f"memory    about {in_bytes(self.peak_bytes)}")
        if self.seconds is not None:
            told = f"about {in_time(self.seconds)} in one process"
        else:
            told = "not measured" if self.n_to_forward else "nothing to compute"
        return "\n".join([*lines, f"time      {told}"])

    def _repr_html_(self) -> str:
        """A card for notebooks."""
        layers = pd.DataFrame({"layer": list(self.n_units), "units": list(self.n_units.values())})
        facts = {n: v for n, v in facts_in(str(self)).items() if n != "layers"}
        return card("ExtractionEstimate", facts, layers)

    def _layers(self) -> str:
        told = [f"{name} ({n:,} units)" for name, n in self.n_units.items()]
        more = [f"and {len(told) - 5} more"] if len(told) > 5 else []
        return ", ".join(told[:5] + more)


def estimate_work(
    work: Work, conditions: Conditions, layers: Sequence[LayerInfo], *, measure: bool
) -> ExtractionEstimate:
    """Find out what a piece of work will take.

    Parameters
    ----------
    work : Work
    conditions : Conditions
    layers : sequence of LayerInfo
        All of the network.
    measure : bool
        Whether to send a batch through the network, if any image is to be forwarded.

    Returns
    -------
    estimate : ExtractionEstimate

    Raises
    ------
    ValueError
        If files are missing or no images.
    """
    inputs, plan = conditions.inputs, work.plan
    check_images(inputs)
    groups = _to_forward(work, conditions, measure)
    n_to_forward = sum(len(rows) for _, rows in groups)
    each = None
    if measure and groups:
        each = seconds_per_image(
            inputs, groups[0][1], work.source, work.full_plan, work.batch_size
        )
    result_bytes = 4 * len(conditions) * plan.total_units
    store = work.cache
    return ExtractionEstimate(
        model=work.source.spec.name,
        layers=list(plan.shapes),
        n_images=len(inputs),
        n_to_forward=n_to_forward,
        n_units={name: plan.n_units(name) for name in plan.shapes},
        result_bytes=result_bytes,
        store_bytes=None
        if store is None
        else bytes_to_write(inputs, work.full_plan, store, groups),
        free_bytes=None if store is None else store.depot.free_bytes,
        peak_bytes=result_bytes + (_forward_bytes(work, layers) if groups else 0),
        seconds=None if each is None else each * n_to_forward,
    )


def _to_forward(work: Work, conditions: Conditions, may_download: bool) -> Groups:
    """Rows of images that will go through the network, with the layers that each lacks."""
    inputs, names = conditions.inputs, list(work.full_plan.shapes)
    if work.cache is None:
        return [(names, _without_cache(work, conditions))] if len(inputs) else []
    digests = digest_images(inputs)
    unknown = not may_download and needs_download(work.source.spec)
    if unknown:  # nothing of it can be stored then
        absent = {name: np.ones(len(digests), dtype=bool) for name in names}
    else:
        absent = absent_rows(work.cache, identify(work.source, work.full_plan), digests)
    return group_rows(absent, list(work.plan.shapes), digests)


def _without_cache(work: Work, conditions: Conditions) -> np.ndarray:
    """One process forwards a file once, however often it is given; several don't know."""
    inputs: ImageInputs = conditions.inputs
    if conditions.ends is None and effective_n_jobs(work.n_jobs) == 1:
        return np.array(distinct(inputs)[0])
    return np.arange(len(inputs))


def _forward_bytes(work: Work, layers: Sequence[LayerInfo]) -> int:
    """Memory for weights, one batch, and the images around it."""
    source, plan, size = work.source, work.full_plan, work.batch_size
    copies = {"own": 0, "random": 1}.get(source.spec.origin, 2)
    copies_of_rows = 1 if work.cache is None else 3  # two buffers are on their way to disk
    activations = 2 * plan.largest + copies_of_rows * plan.total_units
    preprocess = source.spec.preprocess
    fixed = preprocess.input_size if isinstance(preprocess, Preprocessing) else None
    height, width = fixed or (256, 256)
    waiting = 3 * size + cores()  # as bytes; the batch itself is float32
    images = 3 * height * width * (waiting + 4 * size)
    return 4 * (copies * count_params(layers) + size * activations) + images


def count_params(layers: Sequence[LayerInfo]) -> int:
    """Parameters of a network, from its outermost modules."""
    own = {info.name: info.n_params for info in layers if not info.source}
    return sum(n for name, n in own.items() if name.rpartition(".")[0] not in own)
