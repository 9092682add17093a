"""The stages, one a file; packages that begin with an underscore are shared by several."""
