"""Several kinds of data of the same people in one model, and people who lack some of them."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
