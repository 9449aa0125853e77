"""How the documentation is built; `make docs` turns every warning into an error."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import precisionpain

HERE = Path(__file__).resolve().parent

# One thread per kernel: the matrices of the examples are small.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# --- the real data: pages that need them say so where they are absent -----------------------

_data = Path(os.environ.get("PRECISIONPAIN_DATA", HERE.parent.parent / "shared" / "data"))
HAS_REAL_DATA = (_data / "tn_ds005713").is_dir()
HAS_REAL_DWI = (_data / "mri" / "philips_t1_dti").is_dir()
NEEDS_REAL_DATA = {
    "tutorials/real_cohort.md": HAS_REAL_DATA,
    "tutorials/trigeminal_dti.md": HAS_REAL_DWI,
}
if HAS_REAL_DATA or HAS_REAL_DWI:
    os.environ["PRECISIONPAIN_DATA"] = str(_data)

# --- project --------------------------------------------------------------------------------

project = "precisionpain"
author = "The precisionpain developers"
copyright = "The precisionpain developers, Apache-2.0"
release = version = precisionpain.__version__

extensions = [
    "myst_nb",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx_copybutton",
    "sphinx_design",
]
exclude_patterns = ["_build", "jupyter_execute", "**.ipynb_checkpoints"]
templates_path = ["_templates"]
# Docstrings write names in single backticks.
default_role = "py:obj"

if os.environ.get("PRECISIONPAIN_DOCS_INTERSPHINX"):
    extensions.append("sphinx.ext.intersphinx")
    intersphinx_mapping = {
        "anndata": ("https://anndata.readthedocs.io/en/stable/", None),
        "numpy": ("https://numpy.org/doc/stable/", None),
        "pandas": ("https://pandas.pydata.org/docs/", None),
        "python": ("https://docs.python.org/3/", None),
        "sklearn": ("https://scikit-learn.org/stable/", None),
    }

# --- reference ------------------------------------------------------------------------------

autosummary_generate = True
# Names that differ in case only would share a file on some disks.
autosummary_filename_map = {
    "precisionpain.stats.Calibration": "precisionpain.stats.Calibration-class"
}
autodoc_typehints = "none"  # the numpydoc sections give the types
autodoc_member_order = "bysource"
numpydoc_show_class_members = False
numpydoc_xref_param_type = False

# --- pages and notebooks --------------------------------------------------------------------

source_suffix = {".rst": "restructuredtext", ".md": "myst-nb"}
myst_enable_extensions = ["colon_fence", "deflist", "substitution"]
myst_heading_anchors = 3
nb_execution_mode = "force"
nb_execution_timeout = 300
nb_execution_raise_on_error = True
nb_execution_excludepatterns = [page for page, there in NEEDS_REAL_DATA.items() if not there]
nb_merge_streams = True
myst_substitutions = {
    "real_data": (
        ":::{note}\nEverything below was computed from the real tables when these pages were "
        "built.\n:::"
        if HAS_REAL_DATA
        else ":::{warning}\n**Not executed here: the data are absent.** Get them with "
        "`precisionpain.datasets.fetch_ds005713`, set the environment variable "
        "`PRECISIONPAIN_DATA` to the folder that holds `tn_ds005713`, and build again. The code "
        "below is what would run; its results are missing.\n:::"
    ),
    "real_dwi": (
        ":::{note}\nEverything below was computed from a real scan when these pages were "
        "built.\n:::"
        if HAS_REAL_DWI
        else ":::{warning}\n**Not executed here: the scan is absent.** It is the classic DICOM "
        "series 1301 and 2201 of the public repository dcm_qa_philips_enh. Put the two archives "
        "into `mri/philips_t1_dti` under the folder that `PRECISIONPAIN_DATA` names, and build "
        "again. The code below is what would run; its results are missing.\n:::"
    ),
}
copybutton_exclude = ".linenos, .gp, .go"
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True

# --- HTML -----------------------------------------------------------------------------------

html_theme = "pydata_sphinx_theme"
html_title = f"precisionpain {release}"
html_static_path = ["_static"]
html_css_files = ["custom.css"]
toc_object_entries_show_parents = "hide"
html_show_sourcelink = False
html_copy_source = False
html_theme_options = {
    "logo": {"text": "precisionpain"},
    "navbar_align": "left",
    "navigation_with_keys": False,
    "show_nav_level": 1,
    "show_toc_level": 2,
    "footer_start": ["copyright"],
    "footer_end": [],
}
html_sidebars = {"index": []}


# --- docstrings -----------------------------------------------------------------------------


def escape_bars(app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Keep |x|, an absolute value in docstrings, from being read as a substitution."""
    for number, line in enumerate(lines):
        parts = re.split(r"(``.*?``)", line)
        parts[::2] = [re.sub(r"\|([^|]+)\|", r"\\|\1\\|", part) for part in parts[::2]]
        lines[number] = "".join(parts)


def skip_routing(app: Any, what: str, name: str, obj: Any, skip: bool, options: Any) -> bool | None:
    """Leave out the methods that scikit-learn adds for routing metadata, such as weights."""
    return True if name.startswith("set_") and name.endswith("_request") else None


def setup(app: Any) -> None:
    """Connect the hooks, the first ahead of numpydoc's."""
    app.connect("autodoc-skip-member", skip_routing)
    app.connect("autodoc-process-docstring", escape_bars, priority=100)
