from ._sample_mtbi import sample_mtbi as sample_mtbi
from ._sample_tn import sample_tn as sample_tn
from .ds005713 import accounting as accounting
from .ds005713 import fetch_ds005713 as fetch_ds005713
