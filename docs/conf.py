# SPDX-License-Identifier: Apache-2.0
"""Settings of the site that `make docs` builds."""

import os
import re
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
sys.path[:0] = [str(HERE / "_ext"), str(ROOT)]
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")
# The tutorials run in processes that find the package of this checkout.
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))

project = "tfp_glow"
author = "the authors of tfp_glow"
release = re.search('^__version__ = "(.+)"$', (ROOT / "tfp_glow/_versions.py").read_text(), re.MULTILINE).group(1)
version = release

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.viewcode",
    "myst_nb",
    "formulas",  # before napoleon, so that it sees the docstrings as they are
    "names",
    "site_files",
    "sphinx.ext.napoleon",
]
exclude_patterns = ["_build", "_ext", "_static", "play"]
templates_path = ["_templates"]
root_doc = "index"
nitpicky = True
nitpick_ignore_regex = [("py:exc", ".*"), ("py:class", r"collections\..*")]
suppress_warnings = ["myst.header"]

# Pages and tutorials.
myst_enable_extensions = ["colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3
myst_links_external_new_tab = False
nb_execution_mode = "cache"
nb_execution_cache_path = str(HERE / "_build" / "executed")
nb_execution_timeout = 600
nb_execution_raise_on_error = True
nb_execution_show_tb = True
nb_merge_streams = True

# The API reference.
autosummary_generate = True
autodoc_member_order = "bysource"
autodoc_typehints = "none"  # The docstrings state the types.
autodoc_inherit_docstrings = False
default_role = "api"
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True
napoleon_use_rtype = False
napoleon_custom_sections = [("Example", "example"), ("Examples", "example")]
viewcode_line_numbers = False
add_module_names = False
python_use_unqualified_type_names = True
toc_object_entries = False
smartquotes = False  # It would change the dashes of flags.

# The look.
html_theme = "furo"
html_title = f"tfp_glow {release}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_copyright = False
html_show_sphinx = False
html_copy_source = False
html_math_renderer = "mathml"
html_theme_options = {
    "light_css_variables": {"color-brand-primary": "#0b57a4", "color-brand-content": "#0b57a4"},
    "dark_css_variables": {"color-brand-primary": "#8ab4f8", "color-brand-content": "#8ab4f8"},
    "top_of_page_buttons": [],
}
pygments_style = "default"
pygments_dark_style = "github-dark"
