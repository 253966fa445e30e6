from ._classifier import DNNClassifier
from ._extraction import ExtractionEstimate, list_layers
from ._feature_extractor import DNNFeatureExtractor
from ._methods import MethodsText
from ._search import (
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
from ._store import ActivationStore, StoredFeatures
from ._text_encoder import CLIPTextEncoder
from ._version import __version__
from .datasets import (
    fetch_brain_hierarchy,
    fetch_kriegeskorte92,
    load_image_folder,
    load_things,
)
from .decomposition import GramPCA, ThingsAlignment
from .encoding import BrainHierarchyScore, LayerwiseEncoder, VoxelwiseRidgeCV
from .fmri import load_betas
from .io import load_features, save_features
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

__all__ = [
    "RDM",
    "ActivationStore",
    "BrainHierarchyScore",
    "CLIPTextEncoder",
    "DNNClassifier",
    "DNNFeatureExtractor",
    "ExtractionEstimate",
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
    "StoredFeatures",
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
    "load_betas",
    "load_features",
    "load_image_folder",
    "load_things",
    "make_search",
    "nested_search",
    "passed_on_layers",
    "rehearse_search",
    "save_features",
]
