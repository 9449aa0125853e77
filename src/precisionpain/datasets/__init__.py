"""Sample cohorts (synthetic, seeded) and fetchers of public data (checksummed)."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
