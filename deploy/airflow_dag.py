"""The line as an Airflow 3 DAG: each stage a task, run by `python -m pipeline run --only STAGE`.

Put this file into the DAG folder, and into the environment of scheduler and workers, where the defaults do not fit:

GATELINE                 how gateline is called; it has an environment of its own, apart from Airflow's
GATELINE_CONFIGURATION   which line: --profile, --config, --set
GATELINE_ROOT, GATELINE_SERVING_DIR, TFDS_DATA_DIR   on a file system that the workers share
"""

import datetime
import json
import os
import shlex
import subprocess

from airflow.sdk import dag, get_current_context, task
from airflow.sdk.exceptions import AirflowException, AirflowFailException

GATELINE = shlex.split(os.environ.get("GATELINE", "/opt/gateline/bin/python -m pipeline"))
CONFIGURATION = shlex.split(os.environ.get("GATELINE_CONFIGURATION", "--profile mnist"))
FINAL = {
    2: "configuration",
    3: "the model was refused",
    4: "the data was refused",
}  # trying again would come to the same


def stages() -> list[dict]:
    """The stages of the line in their order, each with those that it runs after, as the command lists them."""
    return json.loads(subprocess.check_output([*GATELINE, "stages", "--json", *CONFIGURATION]))


@task(retries=3, retry_delay=datetime.timedelta(minutes=5), retry_exponential_backoff=True)
def run(stage: str) -> dict:
    """What the stage made: its path, digest and facts; of push, the version."""
    # What is served is looked up once for the whole DAG run, as it is in one process.
    hold = f"airflow {get_current_context()['run_id']}"
    done = subprocess.run(
        [*GATELINE, "run", "--only", stage, "--hold", hold, "--wait", "--json", *CONFIGURATION],
        stdout=subprocess.PIPE,
        check=False,
    )
    if done.returncode in FINAL:
        raise AirflowFailException(f"exit code {done.returncode}, {FINAL[done.returncode]}: the log says why")
    if done.returncode:
        raise AirflowException(f"exit code {done.returncode}: the log says why")
    made = json.loads(done.stdout)
    return {name: value for name, value in made.items() if name != "stages"}


@dag(
    schedule="0 3 * * *",
    start_date=datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC),
    catchup=False,
    max_active_runs=1,
)
def gateline():
    tasks = {}
    for each in stages():
        tasks[each["stage"]] = run.override(task_id=each["stage"])(each["stage"])
        for before in each["after"]:
            tasks[before] >> tasks[each["stage"]]


gateline()
