"""The stages, one a file. Files that begin with an underscore are shared by several."""
