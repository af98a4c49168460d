"""`genai-spine doctor`: what is found of settings, database, providers and Envoy."""

import typer

from genai_spine.cli.output import Json, print_listing, run
from genai_spine.cli.service.configured import settings_with
from genai_spine.cli.tables import Column, show_table


def doctor_command(as_json: Json = False) -> None:
    """Check settings, database, providers and Envoy; exit 1 if something is broken."""
    from genai_spine.supervisor import doctor

    settings = settings_with()
    findings = run(doctor.examine(settings))
    if as_json:
        print_listing("findings", [finding._asdict() for finding in findings])
    else:
        columns = (Column("state"), Column("part"), Column("what was found"))
        show_table(columns, [(finding.state, finding.part, finding.text) for finding in findings])
    if any(finding.state == "broken" for finding in findings):
        raise typer.Exit(1)
