"""Components of wide data: few images, very many units."""

from skdnn.decomposition._gram_pca import GramPCA

__all__ = ["GramPCA"]
