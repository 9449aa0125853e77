"""Proteins of the same people: Olink NPX and label-free mass spectrometry, inside the fold."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
