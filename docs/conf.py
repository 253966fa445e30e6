"""How sphinx builds the documentation: ``sphinx-build -W --keep-going docs docs/_build/html``.

Nothing is downloaded, but for the 92 images and published weights by examples that run in
full. Environment variables:

SKDNN_DATA                a data home with the 92 images, for the examples that need them
SKDNN_DOCS_QUICK=1        run the examples small, without weights that would be downloaded
SKDNN_DOCS_INTERSPHINX=1  link to the documentation of numpy and others (needs a network)

``-D plot_gallery=0`` leaves out running the examples.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE / "_ext"))

import skdnn  # noqa: E402

project = "skdnn"
author = "The skdnn developers"
copyright = author
release = version = skdnn.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "numpydoc",
    "myst_parser",
    "sphinx_gallery.gen_gallery",
    "sphinx_copybutton",
    # Ours, in _ext: each writes pages before sphinx looks for them.
    "api_pages",
    "command_pages",
    "docstrings",
    "example_pages",
]
exclude_patterns = ["_build", "_ext", "generated/commands.md", "generated/examples"]

# --- Markdown ----------------------------------------------------------------------------------
myst_enable_extensions = ["colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3

# --- docstrings --------------------------------------------------------------------------------
autosummary_generate = False  # api_pages does it, from __all__
autodoc_typehints = "none"  # numpydoc's Parameters say more
autodoc_member_order = "bysource"
numpydoc_show_class_members = False
add_module_names = False
python_use_unqualified_type_names = True
# Every reference must lead somewhere, but for those that only intersphinx could follow, and
# attributes that scikit-learn defines.
nitpicky = True
nitpick_ignore_regex = [
    (r"py:.*", r"(numpy|scipy|pandas|sklearn|joblib|torch|keras|h5py|matplotlib|PIL)\..*"),
    (r"py:.*", r"tempfile|pathlib\..*"),
    (r"py:obj", r"(n_features_in|feature_names_in|classes)_"),
    (r"py:obj", r"skdnn\._images\.\w+"),
    (r"py:class", r"skdnn\.models\._model_spec\.Checkpoint"),  # a field of ModelSpec
]

# --- gallery -----------------------------------------------------------------------------------
sphinx_gallery_conf = {
    "examples_dirs": "generated/examples",  # a copy: example_pages makes it
    "gallery_dirs": "gallery",
    "backreferences_dir": "gallery/backreferences",
    "doc_module": ("skdnn",),
    "within_subsection_order": "FileNameSortKey",
    "write_computation_times": False,
    "show_signature": False,
    "remove_config_comments": True,
    "ignore_repr_types": r"skdnn\.plotting",  # the picture says it
    "copyfile_regex": r"$^",
}

# --- HTML --------------------------------------------------------------------------------------
html_theme = "pydata_sphinx_theme"
html_title = "skdnn"
html_show_sourcelink = False
html_theme_options = {
    "navigation_with_keys": False,
    "show_prev_next": True,
    "show_toc_level": 2,
    "secondary_sidebar_items": ["page-toc"],
    "header_links_before_dropdown": 6,
}
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True

if os.environ.get("SKDNN_DOCS_INTERSPHINX") == "1":
    extensions.append("sphinx.ext.intersphinx")
    intersphinx_mapping = {
        "python": ("https://docs.python.org/3", None),
        "numpy": ("https://numpy.org/doc/stable", None),
        "pandas": ("https://pandas.pydata.org/docs", None),
        "sklearn": ("https://scikit-learn.org/stable", None),
    }
