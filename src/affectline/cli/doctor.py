"""`affectline doctor`: is everything here that an analysis needs?"""

from __future__ import annotations

import typer

from affectline.cli.exit_codes import EXIT_FAILED


def command() -> None:
    """Show versions, codecs, providers and models, and what is wrong with them; exit code 1 if something is."""
    from affectline.doctor import examine

    findings = examine()
    width = max(len(finding.subject) for finding in findings)
    for finding in findings:
        typer.echo(f"{finding.subject:<{width}}  {finding.value}")
    problems = [finding for finding in findings if finding.problem]
    for finding in problems:
        typer.echo(f"problem: {finding.subject}: {finding.problem}", err=True)
    if problems:
        raise typer.Exit(EXIT_FAILED)
    typer.echo("no problem found")
