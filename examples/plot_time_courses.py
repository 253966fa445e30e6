"""
When does the brain show what a layer shows?
============================================

Simulated MEG of ten people who see 30 images. Three layers of a network are planted in it, one
after the other: what follows should find each at its time, and nothing before the image appears.
"""

import matplotlib.pyplot as plt
import numpy as np

from skdnn.plotting import TimeCourseDisplay
from skdnn.rsa import (
    ceiling_test_over_time,
    compute_rdm,
    compute_rdm_movie,
    temporal_generalization,
    time_resolved_rsa,
)

rng = np.random.default_rng(0)

# %%
# The data
# --------
# A layer is a table of images by units. In each person it reaches 60 sensors by weights of their
# own, in a course that peaks at its latency; noise is smooth in time. Each image is shown four
# times.

n_images, n_repeats, n_sensors = 30, 4, 60
times = np.arange(-10, 50) / 100  # seconds
latencies = {"conv1": 0.10, "conv3": 0.16, "fc8": 0.24}
units = {name: rng.normal(size=(n_images, 20)) for name in latencies}
images = [f"image {k:02d}" for k in range(n_images)] * n_repeats


def person(rng):
    """Trials (n_images * n_repeats, n_sensors, n_times) of one person."""
    signal = np.zeros((n_images, n_sensors, len(times)))
    for name, latency in latencies.items():
        pattern = units[name] @ rng.normal(size=(20, n_sensors)) / np.sqrt(20)
        course = np.exp(-(((times - latency) / 0.04) ** 2)) * (times > 0)
        signal += pattern[:, :, None] * course
    noise = rng.normal(size=(n_images * n_repeats, n_sensors, len(times) + 2))
    smooth = noise[:, :, :-2] + noise[:, :, 1:-1] + noise[:, :, 2:]
    return np.tile(signal, (n_repeats, 1, 1)) + smooth


# %%
# RDMs over time
# --------------
# One call for each person. Trials of an image are averaged; conditions keep their names, by which
# layers are matched later.

subjects = {
    f"sub-{k:02d}": compute_rdm_movie(person(rng), conditions=images, times=times)
    for k in range(10)
}
print(subjects["sub-00"])

# %%
# Layers against people, at each time
# -----------------------------------
# All layers, times and people in one call, with the noise ceiling of each time.

layers = {name: compute_rdm(values) for name, values in units.items()}
result = time_resolved_rsa(layers, subjects, conditions=images[:n_images])
print(result)

# %%
# Peaks, with intervals over people, and whether later layers peak later:

peaks = result.peaks(start=0, random_state=0)
print(peaks.round(3))
print(result.latency_order(start=0, random_state=0))

# %%
# Tests and the picture
# ---------------------
# p-values are corrected for all layers and times by the largest t under random signs of the
# people. Bars above the picture are the times below .05, triangles the onsets.

test = result.test(random_state=0)
print(test.spans().round(3))
TimeCourseDisplay.from_result(result, test, peaks=peaks)

# %%
# Do people share anything at all, and when?

ceiling = ceiling_test_over_time(subjects, n_permutations=199, random_state=0)
print(ceiling.spans().round(3))

# %%
# What is the layers' own
# -----------------------
# The share that each layer adds to the others, as standardized coefficients of a regression:

joint = time_resolved_rsa(layers, subjects, conditions=images[:n_images], regression=True)
TimeCourseDisplay.from_result(joint, joint.test("tfce", n_permutations=1000, random_state=0))

# %%
# One time against others
# -----------------------
# RDMs of one person against the mean of the others: three states, one after the other.

TimeCourseDisplay.from_generalization(temporal_generalization(subjects))

plt.show()
