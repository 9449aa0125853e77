"""Chronic pain after mild traumatic brain injury, from an early T1 scan and from the bedside."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
