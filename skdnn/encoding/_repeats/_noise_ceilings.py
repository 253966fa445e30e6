"""How reliable responses are, and so how well a perfect model could predict them."""

from __future__ import annotations

from math import comb
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import check_random_state

from skdnn._array_blocks import Array
from skdnn.encoding._repeats._single_trials import Repeats, read_repeats, variance_components
from skdnn.encoding._shared_checks import Flags

_SPLITS_BY = ("repeat", "image")
# A standard deviation below this share of the mean is rounding.
_CONSTANT = 1e-13
# Averages of halves that are held at a time.
_HALVES = 2**18


def split_half_reliability(
    responses: ArrayLike | Any,
    *,
    n_splits: int = 100,
    correct: bool = True,
    split_by: str = "repeat",
    random_state: Any = None,
) -> NDArray[np.float64]:
    r"""Reliability of the average of repeats, from correlations of random halves.

    Parameters
    ----------
    responses : array-like of shape (n_repeats, n_images, n_voxels)
        Single trials, NaN where an image has fewer repeats. It may be a lazy array (a dataset of
        h5py). What follows the second axis are voxels.
    n_splits : int, default=100
        Number of random splits into halves, whose correlations are averaged. Where no more than
        this number exist, each is taken once.
    correct : bool, default=True
        Correct for the length of the halves (Spearman-Brown): the reliability of the average of
        all repeats. False returns that of the average of one half.
    split_by : {"repeat", "image"}, default="repeat"
        ``"repeat"`` divides the repeats in the same way for all images, so that what the trials
        of one repeat share (the mean of its run) stays out of the correlation. ``"image"``
        divides the trials of each image by themselves: right where the number of a repeat means
        nothing, as it then averages over many more splits.
    random_state : int, RandomState instance or None, default=None
        Seed of the splits.

    Returns
    -------
    reliability : ndarray
        Of float64, with the shape of the voxels. A share of variance: a perfect model correlates
        with the average of the repeats by its **square root**.

    Raises
    ------
    ValueError
        If fewer than two images have two repeats, or a parameter is invalid.

    Warns
    -----
    RuntimeWarning
        If voxels have NaN where others have a response; theirs is NaN, and so is that of constant
        voxels.

    See Also
    --------
    explainable_variance : The same for one trial, from variances.
    normalize_scores : Divides scores by it in the right way.

    Notes
    -----
    Halves are of equal size; of an odd number of repeats one, at random, is in neither. Images
    that lack a trial in a half are left out of that split. With :math:`r` the mean correlation,

    .. math:: \rho = \frac{k r}{1 + (k - 1) r},
        \qquad k = \overline{1 / n_\mathrm{half}} \; / \; \overline{1 / n},

    where :math:`n_\mathrm{half}` is the number of an image's repeats in a half, averaged over the
    images in both halves, and :math:`n` that of all its repeats, averaged over **all** images:
    :math:`k = 2` for even numbers without gaps, and less where images of one trial, which are in
    no half, are in the average too. So :math:`\rho` is the reliability of the average of all
    images given. For scores of some of them, give only those. Noise is as likely to make
    :math:`r` too low as too high, so values below 0 are kept.

    References
    ----------
    Spearman, C. (1910). Correlation calculated from faulty data. British Journal of Psychology,
    3, 271-295.

    Examples
    --------
    >>> import numpy as np
    >>> from skdnn.encoding import split_half_reliability
    >>> rng = np.random.default_rng(0)
    >>> signal = rng.normal(size=(500, 2))
    >>> trials = signal + [1, 3] * rng.normal(size=(4, 500, 2))  # reliabilities .8 and .31
    >>> split_half_reliability(trials, random_state=0).round(2)
    array([0.8 , 0.34])
    """
    if not isinstance(n_splits, Integral) or isinstance(n_splits, bool) or n_splits < 1:
        raise ValueError(f"n_splits must be an integer of at least 1, got {n_splits!r}.")
    if split_by not in _SPLITS_BY:
        raise ValueError(f"split_by must be one of {_SPLITS_BY}, got {split_by!r}.")
    repeats = read_repeats(responses, stacklevel=2)
    rng = check_random_state(random_state)
    splits = _splits(repeats.there, int(n_splits), split_by, rng)
    if not splits:
        raise ValueError(
            "No split leaves two images or more with trials in both halves: use split_by='image'."
        )
    total = np.zeros(repeats.n_voxels)
    for voxels, block in repeats.blocks():
        total[voxels] = _sum_of_correlations(block, splits)
    r = total / len(splits)
    if correct:
        longer = np.mean([_lengthening(repeats, halves) for halves in splits])
        r = longer * r / (1 + (longer - 1) * r)
    r[repeats.holes] = np.nan
    return r.reshape(repeats.voxel_shape)


Halves = tuple[Flags, Flags]  # which (repeats, images) are in each half


def _splits(there: Flags, n_splits: int, split_by: str, rng: Any) -> list[Halves]:
    """Splits in which two images or more have trials in both halves."""
    found = (
        _by_image(there, n_splits, rng)
        if split_by == "image"
        else _by_repeat(there, n_splits, rng)
    )
    return [halves for halves in found if (halves[0].any(0) & halves[1].any(0)).sum() >= 2]


def _by_repeat(there: Flags, n_splits: int, rng: Any) -> list[Halves]:
    """The same halves of repeats for all images; all there are, if they are few."""
    n_repeats, half = len(there), len(there) // 2
    ways: dict[frozenset[frozenset[int]], None] = {}
    few = _n_ways(n_repeats) <= n_splits
    # Random order until all are found, or enough: the number of ways is small where it matters.
    while len(ways) < (_n_ways(n_repeats) if few else n_splits):
        order = rng.permutation(n_repeats).tolist()
        ways[frozenset((frozenset(order[:half]), frozenset(order[half : 2 * half])))] = None
    splits = []
    for way in ways:
        flags = [
            np.isin(np.arange(n_repeats), list(part))[:, None] for part in sorted(way, key=min)
        ]
        splits.append((flags[0] & there, flags[1] & there))
    return splits


def _n_ways(n_repeats: int) -> int:
    """Number of pairs of equal halves."""
    half = n_repeats // 2
    return comb(n_repeats, half) * comb(n_repeats - half, half) // 2


def _by_image(there: Flags, n_splits: int, rng: Any) -> list[Halves]:
    """Halves of the trials of each image."""
    half = there.sum(axis=0) // 2
    splits = []
    for _ in range(n_splits):
        # Ranks of random numbers: those that are there come first.
        chance = np.where(there, rng.random_sample(there.shape), 2)
        rank = chance.argsort(axis=0).argsort(axis=0)
        splits.append((rank < half, (rank >= half) & (rank < 2 * half)))
    return splits


def _sum_of_correlations(block: Array, splits: list[Halves]) -> Array:
    """Correlations over images of the averages of two halves, added up over splits."""
    n_repeats, n_images, n_voxels = block.shape
    by_image = np.ascontiguousarray(block.transpose(1, 0, 2))
    step = max(1, _HALVES // (2 * n_images * n_voxels))
    total = np.zeros(n_voxels)
    for first in range(0, len(splits), step):
        halves = np.array(splits[first : first + step])  # by half, repeat and image
        both: Flags = np.logical_and.reduce(np.logical_or.reduce(halves, axis=2), axis=1)
        sizes = np.maximum(halves.sum(axis=2, keepdims=True), 1)
        weights = np.where(both[:, None, None], halves / sizes, 0).transpose(3, 0, 1, 2)
        means = weights.reshape(n_images, -1, n_repeats) @ by_image
        means = means.reshape(n_images, len(halves), 2, n_voxels)
        total += _correlate(means, both.T).sum(axis=0)
    return total


def _correlate(means: Array, both: Flags) -> Array:
    """Correlation over the images (first axis) that are in both halves (third axis)."""
    n_used = both.sum(axis=0)[:, None, None]
    centre = means.sum(axis=0) / n_used  # images that are not in both are 0
    means -= centre
    if not both.all():
        means *= both[:, :, None, None]
    deviation = np.sqrt(np.einsum("ishv,ishv->shv", means, means) / n_used)
    deviation[deviation <= _CONSTANT * np.abs(centre)] = np.nan
    product = np.einsum("isv,isv->sv", means[:, :, 0], means[:, :, 1]) / n_used[:, 0]
    return product / deviation[:, 0] / deviation[:, 1]


def _lengthening(repeats: Repeats, halves: Halves) -> float:
    """How many halves the average of all repeats is worth."""
    both = halves[0].any(axis=0) & halves[1].any(axis=0)
    inverse = np.mean([(1 / half[:, both].sum(axis=0)).mean() for half in halves])
    return float(inverse / (1 / repeats.counts[repeats.counts > 0]).mean())


def explainable_variance(
    responses: ArrayLike | Any, *, bias_corrected: bool = True, center_repeats: bool = True
) -> NDArray[np.float64]:
    r"""Share of the variance of single trials that is the same in every repeat.

    Parameters
    ----------
    responses : array-like of shape (n_repeats, n_images, n_voxels)
        Single trials, NaN where an image has fewer repeats. It may be a lazy array. What follows
        the second axis are voxels.
    bias_corrected : bool, default=True
        Subtract the share of the noise that the average of the repeats still holds. Without, pure
        noise has an explainable variance of one over the number of repeats.
    center_repeats : bool, default=True
        Subtract the mean over images from each repeat first, which is no noise where scores are
        about differences between images. Set it to False if the number of a repeat means nothing
        and repeats hold different images.

    Returns
    -------
    explainable : ndarray
        Of float64, with the shape of the voxels; NaN for constant voxels. With the correction
        it may be a little below 0.

    Raises
    ------
    ValueError
        If fewer than two images have two repeats.

    Warns
    -----
    RuntimeWarning
        If voxels have NaN where others have a response; theirs is NaN.

    See Also
    --------
    ncsnr : The same as a ratio of standard deviations.
    split_half_reliability : Reliability of the average of repeats rather than of one trial.
    normalize_scores : Takes it as a ceiling, with the number of repeats.

    Notes
    -----
    With the variance of the signal :math:`\sigma_s^2` over images and of the noise
    :math:`\sigma_n^2` of one trial, this is
    :math:`\sigma_s^2 / (\sigma_s^2 + \sigma_n^2)`. Without gaps it equals the published

    .. math:: EV = 1 - \frac{\operatorname{var}(\mathrm{residual})}{\operatorname{var}(y)}
        = \frac{\operatorname{var}(\bar y)}{\overline{\operatorname{var}(y_r)}}, \qquad
        EV_c = EV - \frac{1 - EV}{R - 1},

    where :math:`\bar y` is the average of the :math:`R` repeats and variances have
    :math:`n - 1` degrees of freedom. With gaps the variances are those of an analysis of variance
    with images as groups.

    It is about **one** trial. The reliability of the average of :math:`R` repeats, which is what
    the scores of averaged data are to be divided by, is :math:`EV_c / (EV_c + (1 - EV_c) / R)`.

    References
    ----------
    Sahani, M., & Linden, J. F. (2003). How linear are auditory cortical responses? Advances in
    Neural Information Processing Systems, 15, 125-132.

    Hsu, A., Borst, A., & Theunissen, F. E. (2004). Quantifying variability in neural responses
    and its application for the validation of model predictions. Network, 15(2), 91-109.

    Examples
    --------
    >>> import numpy as np
    >>> from skdnn.encoding import explainable_variance
    >>> rng = np.random.default_rng(0)
    >>> signal = rng.normal(size=(1000, 2))
    >>> trials = signal + [1, 3] * rng.normal(size=(4, 1000, 2))  # .5 and .1
    >>> explainable_variance(trials).round(2)
    array([0.51, 0.1 ])
    """
    repeats = read_repeats(responses, stacklevel=2)
    parts = variance_components(repeats, centre=center_repeats)
    signal = parts.signal if bias_corrected else parts.of_mean
    total = parts.signal + parts.noise
    with np.errstate(invalid="ignore", divide="ignore"):
        share = np.where(total > 0, signal / total, np.nan)
    return share.reshape(repeats.voxel_shape)


def ncsnr(responses: ArrayLike | Any, *, center_repeats: bool = True) -> NDArray[np.float64]:
    r"""Noise ceiling signal-to-noise ratio: standard deviation of the signal over the noise's.

    Parameters
    ----------
    responses : array-like of shape (n_repeats, n_images, n_voxels)
        Single trials, NaN where an image has fewer repeats. It may be a lazy array.
    center_repeats : bool, default=True
        Subtract the mean over images from each repeat first, see :func:`explainable_variance`.

    Returns
    -------
    ncsnr : ndarray
        Of float64, with the shape of the voxels; 0 where no signal was found, NaN for constant
        voxels.

    Raises
    ------
    ValueError
        If fewer than two images have two repeats.

    Warns
    -----
    RuntimeWarning
        If voxels have NaN where others have a response; theirs is NaN.

    See Also
    --------
    ncsnr_ceiling : What it means for averages of some repeats.

    Notes
    -----
    :math:`\sqrt{\max(\sigma_s^2, 0) / \sigma_n^2}`. The authors take the total variance as 1,
    because their trials are z-scored, and :math:`\sigma_s^2 = 1 - \sigma_n^2`; here both are the
    unbiased estimates of an analysis of variance, whatever the scale. The two differ by about one
    over the number of images.

    References
    ----------
    Allen, E. J., St-Yves, G., Wu, Y., Breedlove, J. L., Prince, J. S., Dowdle, L. T., ... & Kay,
    K. (2022). A massive 7T fMRI dataset to bridge cognitive neuroscience and artificial
    intelligence. Nature Neuroscience, 25, 116-126.

    Examples
    --------
    >>> import numpy as np
    >>> from skdnn.encoding import ncsnr
    >>> rng = np.random.default_rng(0)
    >>> signal = rng.normal(size=(1000, 2))
    >>> ncsnr(signal + [1, 2] * rng.normal(size=(3, 1000, 2))).round(1)
    array([1. , 0.5])
    """
    repeats = read_repeats(responses, stacklevel=2)
    parts = variance_components(repeats, centre=center_repeats)
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = np.sqrt(np.maximum(parts.signal, 0) / parts.noise)
    return ratio.reshape(repeats.voxel_shape)


def ncsnr_ceiling(
    ncsnr: ArrayLike, n_repeats: ArrayLike = 1, *, percent: bool = False
) -> NDArray[np.float64]:
    r"""Share of the variance of averaged responses that a perfect model would explain.

    Parameters
    ----------
    ncsnr : array-like
        Ratio of the standard deviations of signal and noise, see :func:`ncsnr`.
    n_repeats : int or array-like of shape (n_images,), default=1
        Number of repeats in the averages that are to be predicted, one for each image if they
        differ.
    percent : bool, default=False
        Return per cent rather than a share.

    Returns
    -------
    ceiling : ndarray
        Of float64 and the shape of `ncsnr`. It is R², and the square of the correlation, of the
        true model.

    Raises
    ------
    ValueError
        If a value is negative or a number of repeats below 1.

    See Also
    --------
    normalize_scores : Takes either of the two as a ceiling.

    Notes
    -----
    :math:`NC = ncsnr^2 / (ncsnr^2 + \overline{1 / n})`, the mean being over images.

    References
    ----------
    Allen, E. J., et al. (2022). A massive 7T fMRI dataset to bridge cognitive neuroscience and
    artificial intelligence. Nature Neuroscience, 25, 116-126.

    Examples
    --------
    >>> from skdnn.encoding import ncsnr_ceiling
    >>> ncsnr_ceiling([0.5, 1.0], n_repeats=3, percent=True).round(1)
    array([42.9, 75. ])
    """
    ratio = np.asarray(ncsnr, dtype=np.float64)
    if (ratio < 0).any():
        raise ValueError("ncsnr must not be negative.")
    squared = ratio**2
    with np.errstate(invalid="ignore"):
        share = np.where(np.isinf(squared), 1.0, squared / (squared + mean_inverse(n_repeats)))
    return share * 100 if percent else share


def mean_inverse(n_repeats: Any) -> float:
    """Mean over images of one over the number of repeats: noise of averages in units of trials."""
    counts = np.asarray(n_repeats, dtype=np.float64)
    if counts.size == 0 or not (np.isfinite(counts).all() and (counts >= 1).all()):
        raise ValueError(f"n_repeats must hold numbers of at least 1, got {n_repeats!r}.")
    return float(np.mean(1 / counts))
