"""Canaries for the private parts of Apache Beam and TensorFlow."""

import apache_beam as beam
from apache_beam.options import pipeline_options
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


def test_options_are_those_of_beam_and_their_views_share_values():
    options = compat.options(["--direct_num_workers=3", "--unknown=1"])
    stated = pipeline_options.PipelineOptions(["--direct_num_workers=3", "--unknown=1"])
    assert options.get_all_options() == stated.get_all_options()
    view = options.view_as(pipeline_options.DirectOptions)
    assert view.direct_num_workers == 3
    assert options.view_as(pipeline_options.DirectOptions) is view, ADVICE.format("its options")
    options.view_as(pipeline_options.StandardOptions).streaming = True
    assert options.view_as(pipeline_options.StandardOptions).streaming
    assert options.get_all_options()["streaming"]
