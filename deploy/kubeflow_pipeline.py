"""The line as a Kubeflow pipeline: each stage a step, run by `python -m pipeline run --only STAGE`.

python deploy/kubeflow_pipeline.py gateline.yaml      compiles it, with kfp and kfp-kubernetes; upload what it writes

GATELINE                 how gateline is called where this is compiled, and where it runs
GATELINE_CONFIGURATION   which line: --profile, --config, --set
"""

import json
import os
import shlex
import subprocess
import sys

from kfp import compiler, dsl, kubernetes

GATELINE = shlex.split(os.environ.get("GATELINE", "python -m pipeline"))
CONFIGURATION = shlex.split(os.environ.get("GATELINE_CONFIGURATION", "--profile mnist"))


def stages() -> list[dict]:
    """The stages of the line in their order, each with those that it runs after, as the command lists them."""
    return json.loads(subprocess.check_output([*GATELINE, "stages", "--json", *CONFIGURATION]))


# Installed when a step starts; without their dependencies, which would change the image's versions.
@dsl.component(
    base_image="gateline:0.2.0", packages_to_install=["kfp==2.17.0", "kfp-pipeline-spec==2.17.3", "--no-deps"]
)
def run(stage: str, configuration: list, hold: str) -> dict:
    """What the stage made: its path, digest and facts; of push, the version."""
    import json
    import os
    import shlex
    import subprocess

    gateline = shlex.split(os.environ.get("GATELINE", "python -m pipeline"))
    command = [*gateline, "run", "--only", stage, "--hold", hold, "--wait", "--json", *configuration]
    made = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
    return {name: value for name, value in made.items() if name != "stages"}


@dsl.pipeline(name="gateline", description="Data goes in; a model comes out if it passed every gate.")
def gateline():
    steps = {}
    for each in stages():
        step = run(stage=each["stage"], configuration=CONFIGURATION, hold=dsl.PIPELINE_JOB_ID_PLACEHOLDER)
        # No retries: Kubeflow cannot tell a refusal from a transient error. gateline caches stages itself.
        step.set_display_name(each["stage"]).set_caching_options(False).set_memory_limit("4Gi")
        kubernetes.mount_pvc(step, pvc_name="gateline", mount_path="/var/lib/gateline")
        steps[each["stage"]] = step.after(*(steps[before] for before in each["after"]))


if __name__ == "__main__":
    compiler.Compiler().compile(gateline, sys.argv[1])
