"""The line, on one screen. Gates are edges: no stage can go round them."""

from pathlib import Path

from components.check_serving import check_serving
from components.describe import describe
from components.evaluate import evaluate
from components.ingest import ingest
from components.push import push
from components.search import search
from components.searched import searched
from components.served import baseline, best, served_data
from components.train import train
from components.transform import transform
from components.tune import tune
from components.validate import validate
from components.work import work
from pipeline.component import Node
from pipeline.config import Config
from schemas.contract import Contract


def line(c: Config, serving_dir: Path) -> Node:
    contract = Contract.load(c.contract)
    c.gates.check(contract.classes, c.evaluate)
    shelf = {"serving_dir": serving_dir, "model_name": c.push.model or c.source.name}

    examples = ingest(source=c.source, data_dir=c.source.data_dir, manual_dir=c.source.manual_dir)
    statistics = describe(examples=examples)
    before = served_data(statistics=statistics, contract=contract, **shelf)
    verdict = validate(statistics=statistics, served=before, contract=contract, checks=c.checks)
    features = transform(examples=examples, verdict=verdict, contract=contract, settings=c.transform)
    found = searched(features=features, settings=c.train, tuning=c.tune)
    tuned = tune(features=features, found=found, settings=c.train)
    model = train(features=features, hyperparameters=tuned)
    now, peak = baseline(model=model, **shelf), best(model=model, examples=examples, **shelf)
    seen = {"model": model, "examples": examples, "statistics": statistics}
    evaluation = evaluate(**seen, baseline=now, best=peak, contract=contract, gates=c.gates, settings=c.evaluate)
    serving = check_serving(model=model, evaluation=evaluation, budgets=c.check_serving)
    return push(model=model, evaluation=evaluation, serving=serving, statistics=statistics, baseline=now, **shelf)


def searching(c: Config, serving_dir: Path, *, workers: int, chief: bool) -> Node:
    """The line up to transform, and the search behind it; or, without being its `chief`, work for the one elsewhere."""
    features = next(node for node in line(c, serving_dir).walk() if node.name == "transform")
    given = {"features": features, "settings": c.train, "tuning": c.tune}
    return search(**given, workers=workers) if chief else work(**given)
