"""The line: the DAG of all stages. Gates are edges: a stage never receives an artifact whose gate refused."""

from pathlib import Path

from components.admit import admit
from components.approve import Decided, approve
from components.check_serving import check_serving
from components.collect import collect
from components.describe import describe
from components.evaluate import evaluate
from components.ingest import ingest
from components.mix import mix
from components.push import push
from components.resolvers.arrived import arrived
from components.resolvers.searched import searched
from components.resolvers.served import baseline, best, served_data, served_spans, start
from components.resolvers.source_data import source_data
from components.search import search
from components.sources.reading import place_of
from components.train import train
from components.transform import transform
from components.tune import tune
from components.validate import validate
from components.work import work
from pipeline.config import Config
from pipeline.engine.component import Component, Node
from pipeline.serving import ModelDirectory
from schemas.artifacts import Arrivals, Artifact
from schemas.contract import Contract
from schemas.judgeable import SliceGates
from schemas.settings.spans import Spans


def line(c: Config, serving_dir: Path, decided: Decided | None = None, digests: Path | None = None) -> Node:
    contract = Contract.load(c.contract)
    c.gates.check(contract.labels, c.evaluate)
    directory = ModelDirectory(serving_dir, c.push.model or c.source.name)

    source, place, labels = c.source, place_of(c.source), c.source.ordered(contract.names)
    data = source_data(source=source, place=place, digests=digests, sliced=c.evaluate.columns)
    examples = ingest(data=data, source=source, place=place, digests=digests, encoding=contract.encoding, labels=labels)
    statistics = describe(examples=examples)
    if c.spans:
        mixture = with_spans(c, c.spans, examples, statistics, contract, directory)
        examples, statistics = mixture, mixture  # mix makes both, in one artifact
    reference = served_data(statistics=statistics, contract=contract, directory=directory, kinds=outputs())
    slice_gates = SliceGates.of(c.gates, c.evaluate)
    verdict = validate(statistics=statistics, served=reference, contract=contract, checks=c.checks, gates=slice_gates)
    features = transform(examples=examples, verdict=verdict, contract=contract, settings=c.transform)
    search_result = searched(features=features, settings=c.train, tuning=c.tune, made_by=search.name)
    tuned = tune(features=features, search=search_result, settings=c.train)
    weights = start(features=features, warm=c.train.warm_start, directory=directory)
    model = train(features=features, hyperparameters=tuned, start=weights)
    served = baseline(model=model, directory=directory)
    best_served = best(model=model, examples=examples, directory=directory)
    evaluation = evaluate(
        model=model,
        examples=examples,
        statistics=statistics,
        baseline=served,
        best=best_served,
        contract=contract,
        gates=c.gates,
        settings=c.evaluate,
        transform=c.transform,
    )
    # Its name only: warm-up requests hold it, so it is part of the cache key, and a path must not be.
    serving = check_serving(
        model=model, evaluation=evaluation, baseline=served, model_name=directory.model, budgets=c.check_serving
    )
    approval = approve(
        model=model,
        evaluation=evaluation,
        serving=serving,
        baseline=served,
        settings=c.push,
        decided=decided,
        directory=directory,
    )
    return push(
        model=model,
        evaluation=evaluation,
        serving=serving,
        statistics=statistics,
        baseline=served,
        approval=approval,
        keep=c.push.keep,
        signatures=c.push.signing,
        watched=c.push.watch,
        labels=list(contract.names) or None,
        directory=directory,
    )


def with_spans(
    c: Config, new: Spans, examples: Node, statistics: Node, contract: Contract, directory: ModelDirectory
) -> Node:
    """The base dataset mixed with the new spans: examples and their statistics."""
    new.check(contract.classes, contract.names)
    spans = collect(
        arrivals=arrived(spans=new),
        labels=new.labels,
        validation=c.source.validation,
        fresh=new.fresh,
        shard_size=c.source.shard_size,
        encoding=contract.encoding,
        unreadable=new.unreadable,
    )
    served = served_spans(spans=spans, directory=directory)
    admission = admit(
        spans=spans, statistics=statistics, served=served, contract=contract, checks=c.checks, drift=new.drift
    )
    return mix(
        examples=examples,
        statistics=statistics,
        spans=spans,
        admission=admission,
        window=new.window,
        weight=new.weight,
        base_weight=new.base_weight,
    )


def search_line(c: Config, serving_dir: Path, *, workers: int, chief: bool, digests: Path | None = None) -> Node:
    """The line up to transform, then the search. Without `chief`, this process is a worker of another chief."""
    features = next(node for node in line(c, serving_dir, digests=digests).walk() if node.component is transform)
    if chief:
        return search(features=features, settings=c.train, tuning=c.tune, workers=workers)
    return work(features=features, settings=c.train, tuning=c.tune)


def complete(c: Config) -> Arrivals | None:
    """The spans that are complete now."""
    return arrived.function(spans=c.spans) if c.spans else None


def components() -> dict[str, Component]:
    """Every stage and resolver of the line, by name."""
    return {each.name: each for each in globals().values() if isinstance(each, Component)}


def stage_of(made: type[Artifact]) -> str:
    """The first stage that makes exactly this type of artifact: `stage_of(Model)` is "train"."""
    stages = (each for each in components().values() if each.kind != "resolver")
    return next(each.name for each in stages if each.output is made)


def outputs() -> dict[str, type[Artifact]]:
    """The type of artifact that each stage and resolver makes, by name."""
    return {name: component.output for name, component in components().items()}
