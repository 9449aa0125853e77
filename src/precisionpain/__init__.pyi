from . import cohort as cohort
from . import datasets as datasets
from . import errors as errors
from . import evaluation as evaluation
from . import fusion as fusion
from . import imaging as imaging
from . import mtbi as mtbi
from . import plots as plots
from . import proteomics as proteomics
from . import report as report
from . import stats as stats
from . import trigeminal as trigeminal
from .cohort import Cohort as Cohort
from .cohort import Column as Column
from .cohort import Outcome as Outcome
from .cohort import Subject as Subject
from .cohort import read_cohort as read_cohort

__version__: str
