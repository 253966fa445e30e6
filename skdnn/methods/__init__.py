"""Words for a methods section, from facts alone."""

from skdnn.methods._text import MethodsText

__all__ = ["MethodsText"]
