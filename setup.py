"""The package. Beam ships it to workers with `--beam-arg=--setup_file=./setup.py`."""

import shutil
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

HERE = Path(__file__).parent
DOCS = ["furo", "myst-parser", "sphinx"]
POSTGRES = "psycopg[binary]>=3.2"
SIGNING = ["model-signing>=1.1", "pyopenssl"]  # the former needs the latter and does not say so


class WithStubs(build_py):
    """Adds a package of stubs for the module `gateline`: type checkers look for `py.typed` in packages only."""

    def run(self) -> None:
        super().run()
        if not self.editable_mode:
            stubs = Path(self.build_lib, "gateline-stubs")
            stubs.mkdir(exist_ok=True)
            shutil.copy(HERE / "gateline.py", stubs / "__init__.pyi")


setup(
    cmdclass={"build_py": WithStubs},
    name="gateline",
    version="0.2.0",
    description="A production pipeline for image classifiers: a model is published only if it passes every gate.",
    long_description=(HERE / "README.md").read_text(encoding="utf-8") if (HERE / "README.md").exists() else "",
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.11,<3.14",
    py_modules=["gateline"],
    packages=find_packages(include=["pipeline", "pipeline.*", "components", "components.*", "schemas", "schemas.*"]),
    package_data={
        "": ["py.typed"],
        "pipeline": ["profiles/*.yaml", "report/*.j2"],
        "components.mnist_sample": ["*.gz", "*.md", "*.bib", "*.txt"],
        "schemas": ["*.pbtxt"],
    },
    install_requires=[
        "apache-beam>=2.77",
        "apscheduler>=3.11,<4",
        "click",
        "etils[epath,epy]",
        "filelock",
        "imagecodecs",
        "importlib_resources",  # tensorflow-datasets needs it and does not say so
        "jinja2",
        "keras-tuner>=1.4.8",
        "keras>=3.15",
        "markupsafe",
        "matplotlib",
        "numpy>=2",
        "pillow",
        "prometheus-client",
        "protobuf",
        "pyarrow",
        "pydantic>=2",
        "rich",
        "ruamel.yaml",
        "scikit-learn",  # keras-tuner's Bayesian optimisation needs it and does not say so
        "scipy",
        "sqlalchemy>=2",
        "tenacity",
        "tensorboard",  # keras-tuner needs it and does not say so
        "tensorflow-datasets>=4.9.10",
        "tensorflow-metadata>=1.21",
        "tensorflow-model-analysis>=0.52",
        "tensorflow-serving-api",
        "tensorflow-transform>=1.21",
        "tensorflow>=2.21",
        "tfx-bsl>=1.21",
        "typer",
    ],
    extras_require={
        "dev": [
            "aiosmtpd",
            "hypothesis",
            "mypy",
            "playwright",
            "pytest",
            "pytest-cov",
            "pytest-xdist",
            "pyyaml",
            "ruff",
            "time-machine",
            POSTGRES,
            *DOCS,
            *SIGNING,
        ],
        "docs": DOCS,
        "postgres": [POSTGRES],
        "signing": SIGNING,
    },
    entry_points={"console_scripts": ["gateline = pipeline.cli:main"]},
)
