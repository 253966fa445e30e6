"""The one place where images, networks and the store meet: all wanted layers in one pass.

What is to be done is a task (`_chosen_network`, `_chosen_layers`, `_task`), `_estimate` says what
it will take, and `_extract` does it: there the way of an image is told.
"""

from skdnn._extraction._chosen_layers import ChosenLayers, choose_layers, layer_frame, list_layers
from skdnn._extraction._chosen_network import ChosenNetwork, input_size, network_of
from skdnn._extraction._estimate import ExtractionEstimate, estimate_task
from skdnn._extraction._extract import extract, fill_store
from skdnn._extraction._task import TASK_PARAMETERS, ExtractionTask, store_of, task_of

__all__ = [
    "TASK_PARAMETERS",
    "ChosenLayers",
    "ChosenNetwork",
    "ExtractionEstimate",
    "ExtractionTask",
    "choose_layers",
    "estimate_task",
    "extract",
    "fill_store",
    "input_size",
    "layer_frame",
    "list_layers",
    "network_of",
    "store_of",
    "task_of",
]
