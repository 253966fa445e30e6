"""Words for a methods section, from facts alone."""

from skdnn._methods._text import MethodsText

__all__ = ["MethodsText"]
