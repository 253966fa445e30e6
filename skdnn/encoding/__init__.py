"""Encoding and decoding: brain responses from features, features from brain responses.

=============  ==================================================================
``ridge``      ridge regression with a penalty for each voxel
``layers``     the layer of each voxel
``decoding``   units of a network from patterns of voxels
``hierarchy``  the brain hierarchy score
``scores``     how well responses are predicted, and how sure that is
``repeats``    repeated presentations: averages, reliability, folds
=============  ==================================================================
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
