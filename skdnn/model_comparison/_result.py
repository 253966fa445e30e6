"""What a comparison of networks gives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from skdnn._html import card
from skdnn.model_comparison._references import read_references, subjects
from skdnn.rsa import cka, compare_rdms, noise_ceiling
from skdnn.rsa._inference._planned_comparisons import against_twins

if TYPE_CHECKING:
    from skdnn.plotting import ModelComparisonDisplay, SimilarityDisplay

Array = NDArray[np.float64]

CKA = "cka"
LEVELS = ["model", "layer"]


class ModelComparison:
    """Similarity of networks to each other and to references; made by :func:`compare_models`.

    Parameters
    ----------
    rdms : DataFrame of shape (n_conditions, n_representations * n_conditions)
        RDMs side by side; the columns are a MultiIndex (model, layer, condition).
    comparison : str, default="pearson"
        How they are compared, see :func:`skdnn.rsa.compare_rdms`; or ``"cka"``.
    metric : str, default="correlation"
        Of the RDMs.
    patterns : dict of (str, str) to ndarray, default=None
        For ``"cka"``: by model and layer, patterns of n_conditions rows that have the inner
        products of the features.
    names : sequence of str or None, default=None
        The images' names in full, by which rows of references are found; None in it is an image
        without a name.
    references : dict of str to DataFrame or array-like, or a DataFrame, default=None
        What to compare with, see :func:`compare_models`.
    twins : dict of str to list of str, default=None
        By a trained network's name, those of its untrained twins.
    networks : dict of str to dict, default=None
        By name, what ``DNNFeatureExtractor.describe().facts`` says of a network.

    Attributes
    ----------
    rdms : DataFrame
        As given.
    comparison, metric : str
        As given.
    index : MultiIndex of (model, layer)
        What is compared, in the order of the models.
    twins : dict of str to list of str
        Names of the untrained twins of each trained network.
    networks : dict of str to dict
        As given; :func:`skdnn.describe_study` tells it.
    n_subjects : dict of str to int
        Number of subjects of each reference.
    reference_scores : DataFrame or None
        What :meth:`against` gives for `references`.

    See Also
    --------
    compare_models : Makes it.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from skdnn.model_comparison import ModelComparison
    >>> from skdnn.rsa import compute_rdm
    >>> rng = np.random.default_rng(0)
    >>> frames = [pd.DataFrame(rng.normal(size=(5, 9)), index=list("abcde")) for _ in range(2)]
    >>> keys = [("alexnet", "fc6"), ("resnet50", "avgpool")]
    >>> rdms = pd.concat(dict(zip(keys, map(compute_rdm, frames))), axis=1)
    >>> ModelComparison(rdms).to_frame().shape
    (2, 2)
    """

    def __init__(
        self,
        rdms: pd.DataFrame,
        *,
        comparison: str = "pearson",
        metric: str = "correlation",
        patterns: Mapping[tuple[str, str], Array] | None = None,
        names: Sequence[str | None] | None = None,
        references: Any = None,
        twins: Mapping[str, Sequence[str]] | None = None,
        networks: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> None:
        if not isinstance(rdms.columns, pd.MultiIndex) or rdms.columns.nlevels != 3:
            raise ValueError("rdms needs MultiIndex columns (model, layer, condition).")
        if (comparison == CKA) != (patterns is not None):
            raise ValueError("comparison='cka' needs patterns, and other comparisons take none.")
        self.rdms = rdms
        self.comparison = comparison
        self.metric = metric
        self.index = rdms.columns.droplevel(-1).unique().set_names(LEVELS)
        self._patterns = None if patterns is None else [patterns[key] for key in self.index]
        self._names = rdms.index.map(str).tolist() if names is None else list(names)
        self.twins = {name: list(each) for name, each in (twins or {}).items()}
        self.networks = dict(networks or {})
        self._frame: pd.DataFrame | None = None
        self._references = self._read(references)
        self.n_subjects = {name: len(subjects(each)) for name, each in self._references.items()}
        self.reference_scores = self._scores(self._references) if self._references else None

    def __repr__(self) -> str:
        models = len(self.index.unique("model"))
        return (
            f"<ModelComparison of {len(self.index)} layers of {models} models on "
            f"{len(self.rdms)} conditions ({self.metric} RDMs, compared by {self.comparison})>"
        )

    def _repr_html_(self) -> str:
        """A card for notebooks with what has been computed already."""
        facts = {
            "models": list(self.index.unique("model")),
            "layers": len(self.index),
            "conditions": len(self.rdms),
            "RDMs": self.metric,
            "compared by": self.comparison,
            "references": list(self._references) or None,
        }
        if self.reference_scores is not None:
            table, index = self.reference_scores, True
        elif self._frame is not None:
            table, index = self._frame.set_axis(_texts(self.index), axis=1), True
        else:
            table, index = self.index.to_frame(index=False), False
        return card("ModelComparison", facts, table, index=index)

    def to_frame(self) -> pd.DataFrame:
        """Give the similarities of all layers of all models.

        Returns
        -------
        similarities : DataFrame of shape (n_representations, n_representations)
            Index and columns are (model, layer); symmetric to the bit.
        """
        if self._frame is None:
            if self._patterns is None:
                values = compare_rdms(self.rdms, self.rdms, self.comparison).to_numpy()
            else:
                values = np.asarray(cka(self._patterns, self._patterns, debiased=True))
            values = (values + values.T) / 2
            self._frame = pd.DataFrame(values, index=self.index, columns=self.index)
        return self._frame.copy()

    def against(self, references: Any) -> pd.DataFrame:
        """Compare all layers with brains, behaviour or models.

        Parameters
        ----------
        references : dict of str to DataFrame or array-like, or a DataFrame
            RDMs; see :func:`compare_models`.

        Returns
        -------
        scores : DataFrame of shape (n_representations, ...)
            Index (model, layer), columns (reference, statistic). The statistics are ``"score"``,
            for several subjects their mean, and for several subjects ``"lower"`` and ``"upper"``,
            the noise ceiling.

        Raises
        ------
        TypeError
            If `references` is no dict and no DataFrame.
        ValueError
            If a reference lacks images, or is no RDM.
        """
        if references is None:
            raise TypeError("references is None: give RDMs by name.")
        return self._scores(self._read(references))

    def _read(self, references: Any) -> dict[str, pd.DataFrame]:
        labels = [str(label) for label in self.rdms.index]
        return read_references(references, labels, self._names, self.comparison == CKA)

    def _scores(self, references: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
        parts = {}
        for name, reference in references.items():
            part = pd.DataFrame({"score": self._each(reference).mean(axis=1, skipna=False)})
            if len(subjects(reference)) > 1 and self.comparison != CKA:
                lower, upper = noise_ceiling(reference, self.comparison)
                part = part.assign(lower=lower, upper=upper)
            parts[name] = part
        return pd.concat(parts, axis=1, names=["reference", "statistic"])

    def _each(self, reference: pd.DataFrame) -> pd.DataFrame:
        """Similarity to each subject of a reference."""
        apart = subjects(reference)
        if self._patterns is not None:
            arrays = [part.to_numpy() for part in apart.values()]
            found = cka(self._patterns, arrays, debiased=True)
        else:
            found = compare_rdms(self.rdms, apart, self.comparison).to_numpy()
        return pd.DataFrame(np.asarray(found), index=self.index, columns=list(apart))

    def against_twins(
        self,
        references: Any = None,
        *,
        n_boot: int = 1000,
        level: float = 0.95,
        alternative: str = "two-sided",
        adjust: str | None = "holm",
        random_state: Any = 0,
    ) -> pd.DataFrame:
        """Test each layer of the trained networks against the mean of its untrained twins.

        The planned comparison of a study of training: one per layer, by the bootstrap over
        conditions, and over subjects where there are several.

        Parameters
        ----------
        references : dict of str to DataFrame or array-like, or a DataFrame, default=None
            RDMs, see :func:`compare_models`; None takes those that it was given.
        n_boot : int, default=1000
            Number of bootstrap samples, see :func:`skdnn.rsa.bootstrap_rsa`.
        level : float, default=0.95
            Level of the intervals.
        alternative : {"two-sided", "greater", "less"}, default="two-sided"
            What is to be shown about trained minus untrained.
        adjust : {"holm", "fdr", None}, default="holm"
            How ``p_adjusted`` is made for the number of layers of all networks.
        random_state : int, RandomState or None, default=0
            Of the samples.

        Returns
        -------
        table : DataFrame
            Index (model, layer) of the trained networks; columns (reference, statistic). The
            statistics are the scores ``"trained"`` and ``"untrained"`` (mean over seeds, and
            ``"untrained_std"`` over them), ``"difference"`` with ``"low"`` and ``"high"``, and
            ``"p"`` and ``"p_adjusted"``.

        Raises
        ------
        ValueError
            If there are no twins, no references, or the comparison is CKA.

        See Also
        --------
        skdnn.rsa.planned_comparisons : The test.
        """
        if not self.twins:
            raise ValueError("There are no twins: compare_models(..., twin=3) makes them.")
        if self.comparison == CKA:
            raise ValueError("comparison='cka' compares no RDMs, and has no such test.")
        known = self._references if references is None else self._read(references)
        if not known:
            raise ValueError("There are no references: give RDMs by name.")
        trained = {model: self._by_layer(model, model) for model in self.twins}
        untrained = {
            model: [self._by_layer(twin, model) for twin in twins]
            for model, twins in self.twins.items()
        }
        tested = {
            name: against_twins(
                trained,
                untrained,
                reference,
                self.comparison,
                n_boot=n_boot,
                level=level,
                alternative=alternative,
                adjust=adjust,
                random_state=random_state,
            )
            for name, reference in known.items()
        }
        return pd.concat(tested, axis=1, names=["reference", "statistic"])

    def _by_layer(self, model: str, like: str) -> dict[Any, pd.DataFrame]:
        """RDMs of a network, in the order of the layers of another of the same."""
        return {layer: self.rdms[model][layer] for layer in self.rdms[like].columns.unique(0)}

    def plot(
        self, reference: str | None = None, **options: Any
    ) -> SimilarityDisplay | ModelComparisonDisplay:
        """Draw the similarities, or the scores against one reference.

        Parameters
        ----------
        reference : str, default=None
            Draw bars of the similarity to this one of the references that
            :func:`compare_models` was given, with its noise ceiling and subjects. None draws
            the heatmap of all models and layers.
        **options : dict
            Arguments of :meth:`SimilarityDisplay.from_frame
            <skdnn.plotting.SimilarityDisplay.from_frame>`, or of
            :meth:`ModelComparisonDisplay.plot <skdnn.plotting.ModelComparisonDisplay.plot>`.

        Returns
        -------
        display : SimilarityDisplay or ModelComparisonDisplay
            What was drawn.
        """
        from skdnn.plotting import ModelComparisonDisplay, SimilarityDisplay

        texts = _texts(self.index)
        if reference is None:
            frame = self.to_frame().set_axis(texts, axis=0).set_axis(texts, axis=1)
            label = "CKA" if self.comparison == CKA else f"similarity of RDMs ({self.comparison})"
            return SimilarityDisplay.from_frame(frame, **{"label": label, **options})
        if reference not in self._references:
            known = ", ".join(map(repr, self._references)) or "none"
            raise ValueError(f"reference={reference!r} is unknown: there are {known}.")
        chosen = self._references[reference]
        part = self._scores({reference: chosen})[reference]
        each = self._each(chosen).T.set_axis(texts, axis=1) if len(subjects(chosen)) > 1 else None
        bars = pd.DataFrame({"model": texts, "score": part["score"].to_numpy()})
        models = self.index.get_level_values("model")
        if 1 < len(set(models)) < len(models):
            bars["group"] = list(map(str, models))
        ceiling = tuple(part[["lower", "upper"]].iloc[0]) if "lower" in part else None
        named = {"title": reference, "ylabel": f"similarity ({self.comparison})"}
        return ModelComparisonDisplay.from_frame(
            bars, ceiling=ceiling, each=each, **{**named, **options}
        )


def _texts(index: pd.Index) -> list[str]:
    """Names for pictures: without the layer where each model has one, or without the model."""
    models, layers = (list(map(str, index.get_level_values(level))) for level in LEVELS)
    if len(set(models)) == len(models):
        return models
    if len(set(models)) == 1:
        return layers
    return [f"{model} / {layer}" for model, layer in zip(models, layers, strict=True)]
