"""skdnn: which layer of which deep network sees the world as the brain does?

Activations of deep networks as scikit-learn transformers, and representational similarity
analysis as estimators, so that extraction, PCA, dissimilarity matrices and their comparison
compose with pipelines, cross-validation and grid searches.
"""

from skdnn._version import __version__
from skdnn.classifier import DNNClassifier
from skdnn.datasets import (
    fetch_brain_hierarchy,
    fetch_kriegeskorte92,
    load_image_folder,
    load_things,
)
from skdnn.decomposition import GramPCA, ThingsAlignment
from skdnn.encoding import BrainHierarchyScore, LayerwiseEncoder, VoxelwiseRidgeCV
from skdnn.extraction import list_layers
from skdnn.feature_extractor import DNNFeatureExtractor
from skdnn.io import load_features, save_features
from skdnn.methods import MethodsText
from skdnn.model_comparison import compare_models
from skdnn.models import list_models
from skdnn.plotting import (
    InputsDisplay,
    LayerScoresDisplay,
    MDSDisplay,
    ModelComparisonDisplay,
    RDMDisplay,
    SimilarityDisplay,
)
from skdnn.rsa import RDM, RSAScorer
from skdnn.search import LayerSearchCV, bootstrap_search, compare_with_twin
from skdnn.store import ActivationStore
from skdnn.text import CLIPTextEncoder

__all__ = [
    "RDM",
    "ActivationStore",
    "BrainHierarchyScore",
    "CLIPTextEncoder",
    "DNNClassifier",
    "DNNFeatureExtractor",
    "GramPCA",
    "InputsDisplay",
    "LayerScoresDisplay",
    "LayerSearchCV",
    "LayerwiseEncoder",
    "MDSDisplay",
    "MethodsText",
    "ModelComparisonDisplay",
    "RDMDisplay",
    "RSAScorer",
    "SimilarityDisplay",
    "ThingsAlignment",
    "VoxelwiseRidgeCV",
    "__version__",
    "bootstrap_search",
    "compare_models",
    "compare_with_twin",
    "fetch_brain_hierarchy",
    "fetch_kriegeskorte92",
    "list_layers",
    "list_models",
    "load_features",
    "load_image_folder",
    "load_things",
    "save_features",
]
