"""The one place where images, networks and the store meet: all wanted layers in one pass."""

from skdnn._extraction._estimate import ExtractionEstimate, estimate_work
from skdnn._extraction._plan import Plan, Source, layer_frame, layers_for, list_layers, make_plan
from skdnn._extraction._work import Work

__all__ = [
    "ExtractionEstimate",
    "Plan",
    "Source",
    "Work",
    "estimate_work",
    "layer_frame",
    "layers_for",
    "list_layers",
    "make_plan",
]
