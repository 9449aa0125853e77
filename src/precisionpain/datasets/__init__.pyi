from ._sample_crps import sample_crps as sample_crps
from ._sample_mtbi import sample_mtbi as sample_mtbi
from ._sample_neuropathy import sample_neuropathy as sample_neuropathy
from ._sample_sciatica import sample_sciatica as sample_sciatica
from ._sample_tn import sample_tn as sample_tn
from .ds005713 import accounting as accounting
from .ds005713 import fetch_ds005713 as fetch_ds005713
