from ._version import __version__
from .classifier import DNNClassifier
from .datasets import (
    fetch_brain_hierarchy,
    fetch_kriegeskorte92,
    load_image_folder,
    load_things,
)
from .decomposition import GramPCA, ThingsAlignment
from .encoding import BrainHierarchyScore, LayerwiseEncoder, VoxelwiseRidgeCV
from .extraction import list_layers
from .feature_extractor import DNNFeatureExtractor
from .io import load_features, save_features
from .methods import MethodsText
from .model_comparison import compare_models
from .models import list_models
from .plotting import (
    InputsDisplay,
    LayerScoresDisplay,
    MDSDisplay,
    ModelComparisonDisplay,
    RDMDisplay,
    SimilarityDisplay,
)
from .rsa import RDM, RSAScorer
from .search import (
    LayerSearchCV,
    SearchEstimate,
    bootstrap_search,
    compare_with_twin,
    describe_study,
    estimate_search,
    make_search,
    nested_search,
    passed_on_layers,
    rehearse_search,
)
from .store import ActivationStore
from .text import CLIPTextEncoder

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
    "SearchEstimate",
    "SimilarityDisplay",
    "ThingsAlignment",
    "VoxelwiseRidgeCV",
    "__version__",
    "bootstrap_search",
    "compare_models",
    "compare_with_twin",
    "describe_study",
    "estimate_search",
    "fetch_brain_hierarchy",
    "fetch_kriegeskorte92",
    "list_layers",
    "list_models",
    "load_features",
    "load_image_folder",
    "load_things",
    "make_search",
    "nested_search",
    "passed_on_layers",
    "rehearse_search",
    "save_features",
]
