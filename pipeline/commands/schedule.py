"""The command `schedule`: runs the line at the times of a cron expression."""

import datetime
import json
import sys
import zoneinfo
from typing import TYPE_CHECKING, Annotated, Literal, TextIO

import typer

from pipeline.commands import options
from schemas.errors import ConfigurationError
from schemas.text import printable

if TYPE_CHECKING:
    from pipeline.schedule.scheduler import Schedule
    from pipeline.schedule.state import Entry, State

Cron = Annotated[
    str | None, typer.Option(help='When to run, e.g. "0 3 * * *": every day at three.', show_default=False)
]
Timezone = Annotated[str, typer.Option(help="The time zone of --cron, e.g. Europe/Berlin.")]
Missed = Annotated[
    Literal["coalesce", "catch-up", "skip"],
    typer.Option(help="For missed ticks: one run for all of them, one run for each, or none."),
]
Retries = Annotated[
    int,
    typer.Option(
        min=0, help="Maximum number of retries after the network, a disk or a service failed, or the run was killed."
    ),
]
TimeLimit = Annotated[
    float | None,
    typer.Option(
        min=0.01, help="Minutes after which a run is stopped. The next run continues from there.", show_default=False
    ),
]
Jitter = Annotated[
    float,
    typer.Option(min=0, help="Maximum delay of a start, in seconds, so that hosts do not start at the same time."),
]
MetricsPort = Annotated[
    int | None,
    typer.Option(min=0, max=65535, help="Serve /metrics and /healthz on this port of 127.0.0.1.", show_default=False),
]
OnNewSpan = Annotated[bool, typer.Option("--on-new-span", help="Also run as soon as a new span is complete.")]
OnDrift = Annotated[
    bool, typer.Option("--on-drift", help="Also run when a new span has drifted from the training data.")
]
Once = Annotated[
    bool,
    typer.Option("--once", help="Run once, now, with the same retries and limits. Exits with the code of the run."),
]
app = typer.Typer(invoke_without_command=True)


@app.callback()
def schedule(
    context: typer.Context,
    cron: Cron = None,
    timezone: Timezone = "UTC",
    profile: options.Profile = None,
    config: options.ConfigFile = None,
    sets: options.Sets = None,
    root: options.Root = options.DEFAULT_ROOT,
    serving_dir: options.ServingDir = None,
    database: options.Database = None,
    missed: Missed = "coalesce",
    retries: Retries = 3,
    time_limit: TimeLimit = None,
    jitter: Jitter = 0,
    on_new_span: OnNewSpan = False,
    on_drift: OnDrift = False,
    metrics_port: MetricsPort = None,
    once: Once = False,
    verbose: options.Verbose = False,
) -> None:
    """Run the line at the times of a cron expression, each run in its own process, until Ctrl-C or SIGTERM."""
    if context.invoked_subcommand:
        return
    if cron is None and not (on_new_span or on_drift or once):
        raise ConfigurationError(
            "--cron, --on-new-span, --on-drift or --once is required",
            'For example: --cron "0 3 * * *" --timezone Europe/Berlin',
        )
    from pipeline.config import selected
    from pipeline.schedule.scheduler import Rules
    from pipeline.schedule.service import Service

    profile, config = selected(profile, config)
    service = Service(
        root=root,
        serving_dir=serving_dir,
        database=database,
        profile=profile,
        config=config,
        sets=tuple(sets or ()),
        cron=cron,
        timezone=timezone,
        rules=Rules(missed, retries, jitter),
        time_limit=time_limit,
        on_new_span=on_new_span,
        on_drift=on_drift,
    )
    with service.start(_log_change) as planned:
        if metrics_port is not None:
            from pipeline.schedule import health

            address = health.serve(health.Health(root, service.destination, database), metrics_port)
            _log(f"metrics on {address}/metrics, health on {address}/healthz")
        _run_schedule(planned, once)


@app.command()
def status(
    root: options.Root = options.DEFAULT_ROOT, as_json: options.Json = False, verbose: options.Verbose = False
) -> None:
    """Show the last scheduled run, its outcome, and when and why the next one starts."""
    from pipeline.schedule import service
    from pipeline.schedule.state import State

    state = State.read(service.state_path(root))
    if state is None:
        raise ConfigurationError(
            f"there is no schedule in {root}", "Start one with python -m pipeline schedule --cron, or name --root."
        )
    alive = service.is_alive(root)
    if as_json:
        print(json.dumps({"alive": alive, **state.as_json()}, indent=2))
        return
    zone = zoneinfo.ZoneInfo(state.timezone)
    for entry in state.recent[-1:]:
        _print(f"last  {_local(entry.tick, zone)}  {_summary(entry)}")
    if state.running and not state.running.retry_at:
        why = state.why if alive else "interrupted during a run: the next start continues from there"
        _print(f"now   {_local(state.running.tick, zone)}  {why}")
    elif state.next:
        _print(f"next  {_local(state.next, zone)}  {state.why}")
    elif alive and not state.cron:
        print("next  when a new span is complete")
    print(
        f"      {'the scheduler is running' if alive else 'no scheduler is running: nothing runs until one is started'}"
    )


def _run_schedule(planned: "Schedule", once: bool) -> None:
    try:
        if once:
            code = planned.once().exit_code
            raise typer.Exit(1 if code is None or code < 0 else code)
        planned.run_forever()
    except KeyboardInterrupt:
        _log("stopped")
        if once:
            raise typer.Exit(130) from None


def _log_change(before: "State", state: "State") -> None:
    if state.recent != before.recent:
        _log(_summary(state.recent[-1]))
    elif state.why != before.why or state.next != before.next:
        _log(state.why + (f" at {_local(state.next, zoneinfo.ZoneInfo(state.timezone))}" if state.next else ""))


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


def _local(moment: datetime.datetime, zone: zoneinfo.ZoneInfo) -> str:
    return moment.astimezone(zone).strftime("%Y-%m-%d %H:%M:%S %Z")


def _summary(entry: "Entry") -> str:
    details = [f"for {entry.ticks} ticks"] if entry.ticks > 1 else []
    details += [f"{entry.tries} tries"] if entry.tries > 1 else []
    return (
        f"{entry.outcome}: {entry.why}"
        + (f"; for {entry.cause}" if entry.cause else "")
        + (f" ({', '.join(details)})" if details else "")
    )


def _log(text: str) -> None:
    _print(f"{_now().astimezone():%Y-%m-%d %H:%M:%S}  {text}", to=sys.stderr)


def _print(text: str, to: TextIO | None = None) -> None:
    """Prints one line. Messages and names of spans may contain control characters."""
    print(" ".join(printable(text).splitlines()), file=to, flush=True)
