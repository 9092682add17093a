"""Reports: HTML pages, model cards, and tables in the terminal."""
