"""Configuration of the documentation: Sphinx with Markdown pages. `make docs` builds it."""

from importlib.metadata import version as installed

import gateline

project = "gateline"
author = "the gateline authors"
release = version = installed("gateline")
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
myst_enable_extensions = ["deflist"]
myst_heading_anchors = 3
html_theme = "furo"
html_title = "gateline"
html_static_path = ["_static"]
exclude_patterns = ["_build"]
autodoc_typehints = "description"
nitpicky = False

for name in gateline.__all__:  # imports what it names, so that autodoc can resolve annotations
    getattr(gateline, name)
