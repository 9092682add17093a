"""The line, on one screen. Gates are edges: no stage can go round them."""

from pathlib import Path
from typing import Any

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
from components.train import train
from components.transform import transform
from components.tune import tune
from components.validate import validate
from components.work import work
from pipeline.config import Config
from pipeline.engine.component import Component, Node
from schemas.artifacts import Arrivals
from schemas.contract import Contract
from schemas.settings.spans import Spans


def line(c: Config, serving_dir: Path, decided: Decided | None = None, digests: Path | None = None) -> Node:
    contract = Contract.load(c.contract)
    c.gates.check(contract.classes, c.evaluate)
    shelf = {"serving_dir": serving_dir, "model_name": c.push.model or c.source.name}

    data = source_data(source=c.source, data_dir=c.source.data_dir, digests=digests)
    examples = ingest(data=data, source=c.source, data_dir=c.source.data_dir, manual_dir=c.source.manual_dir)
    statistics = describe(examples=examples)
    if c.spans:
        examples = statistics = _grown(c, c.spans, examples, statistics, contract, shelf)
    before = served_data(statistics=statistics, contract=contract, **shelf)
    verdict = validate(statistics=statistics, served=before, contract=contract, checks=c.checks)
    features = transform(examples=examples, verdict=verdict, contract=contract, settings=c.transform)
    found = searched(features=features, settings=c.train, tuning=c.tune)
    tuned = tune(features=features, search=found, settings=c.train)
    model = train(
        features=features, hyperparameters=tuned, start=start(features=features, warm=c.train.warm_start, **shelf)
    )
    now, peak = baseline(model=model, **shelf), best(model=model, examples=examples, **shelf)
    seen = {"model": model, "examples": examples, "statistics": statistics}
    evaluation = evaluate(**seen, baseline=now, best=peak, contract=contract, gates=c.gates, settings=c.evaluate)
    serving = check_serving(
        model=model, evaluation=evaluation, baseline=now, model_name=shelf["model_name"], budgets=c.check_serving
    )
    passed = {"model": model, "evaluation": evaluation, "serving": serving, "baseline": now}
    approval = approve(**passed, settings=c.push, decided=decided, **shelf)
    way = {
        "keep": c.push.keep,
        "signatures": c.push.signing,
        "watched": c.push.watch,
        "labels": list(contract.names) or None,
    }
    return push(**passed, statistics=statistics, approval=approval, **way, **shelf)


def _grown(c: Config, new: Spans, examples: Node, statistics: Node, contract: Contract, shelf: dict[str, Any]) -> Node:
    """The base dataset and the spans that arrived beside it."""
    new.check(contract.classes, contract.names)
    reading = {
        "labels": new.labels,
        "validation": c.source.validation,
        "fresh": new.fresh,
        "shard_size": c.source.shard_size,
    }
    spans = collect(arrivals=arrived(spans=new), **reading)
    before = served_spans(spans=spans, **shelf)
    admission = admit(
        spans=spans, statistics=statistics, served=before, contract=contract, checks=c.checks, drift=new.drift
    )
    mixing = {"window": new.window, "weight": new.weight, "base_weight": new.base_weight}
    return mix(examples=examples, statistics=statistics, spans=spans, admission=admission, **mixing)


def components() -> dict[str, Component]:
    """Every stage and resolver of the line, by name."""
    return {each.name: each for each in globals().values() if isinstance(each, Component)}


def complete(c: Config) -> Arrivals | None:
    """The spans that are complete by now."""
    return arrived.function(spans=c.spans) if c.spans else None


def searching(c: Config, serving_dir: Path, *, workers: int, chief: bool, digests: Path | None = None) -> Node:
    """The line up to transform, and the search behind it; or, without being its `chief`, work for the one elsewhere."""
    features = next(node for node in line(c, serving_dir, digests=digests).walk() if node.name == "transform")
    given = {"features": features, "settings": c.train, "tuning": c.tune}
    return search(**given, workers=workers) if chief else work(**given)
