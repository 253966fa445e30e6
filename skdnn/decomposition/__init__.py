"""Components of wide data (few images, very many units), and published transforms of features."""

from skdnn.decomposition._gram_pca import GramPCA
from skdnn.decomposition._isometry import isometric
from skdnn.decomposition._things_alignment import ThingsAlignment

__all__ = ["GramPCA", "ThingsAlignment", "isometric"]
