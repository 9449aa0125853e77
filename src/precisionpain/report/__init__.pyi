from .checks import check_cohort as check_cohort
from .experiments import render_experiments as render_experiments
from .html import render_report as render_report
from .study import Study as Study
from .study import run_study as run_study
