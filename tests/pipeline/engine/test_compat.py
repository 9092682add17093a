"""Canaries for the private parts of Apache Beam."""

import apache_beam as beam
from apache_beam.transforms import core

from pipeline.engine import compat

ADVICE = "Beam changed {}: adapt pipeline/engine/compat.py"


def test_the_in_process_runner_runs_a_pipeline(capfd):
    with beam.Pipeline(compat.in_process_runner()) as pipeline:
        pipeline | beam.Create([1, 2]) | beam.CombineGlobally(sum) | beam.Map(print)
    assert "3" in capfd.readouterr().out, ADVICE.format("its in-process runner")


def test_beam_reads_signatures_with_the_replaced_function():
    compat.cache_signatures()

    class Double(core.DoFn):
        def process(self, element: int) -> None: ...

    assert core.get_function_args_defaults(Double().process) == (["element"], []), ADVICE.format("its inspection")
