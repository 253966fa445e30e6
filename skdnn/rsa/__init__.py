"""Representational similarity analysis: RDMs, their comparison, inference, and scores.

=================  ===============================================================
``dissimilarity``  from patterns to RDMs
``comparison``     similarity of RDMs and of representations, noise ceilings
``scoring``        the same in scikit-learn's cross-validation
``fitting``        models whose RDM is fitted to data
``inference``      intervals and tests
``time``           RDMs over time
=================  ===============================================================
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
