"""The commands around a release: check, export, fingerprint, compare, evidence."""

from __future__ import annotations

from collections.abc import Iterable

from metabolism.cli.shared import MODEL, REGIMEN, UNTIL, Arguments, Command, chosen_model, in_force, option, working
from metabolism.errors import UsageError
from metabolism.files import check_target, write_text


def _check(arguments: Arguments) -> int:
    from metabolism.model import load, parameter_table, rewrite_table, write_build
    from metabolism.report import checks

    if arguments.rewrite:
        print(f"{rewrite_table()} derived values rewritten")
        load.cache_clear()
        write_build(parameter_table())
    failed = 0
    arguments.payload = []
    for check in checks():
        problems = check.problems()
        arguments.payload.append({"check": check.name, "expectation": check.expectation, "problems": problems})
        failed += bool(problems)
        print(f"{'FAIL' if problems else 'ok  '}  {check.name}: {check.expectation}")
        for problem in problems[:10]:
            print(f"        {problem}")
        if len(problems) > 10:
            print(f"        ... and {len(problems) - 10} more")
    return 1 if failed else 0


def _export(arguments: Arguments) -> int:
    from metabolism.exports import export

    model = chosen_model(arguments)
    with working(f"writing {arguments.format}"):
        path = export(
            model,
            arguments.path,
            arguments.format,
            regimen=arguments.regimen,
            until=arguments.until,
            start=arguments.start,
            force=arguments.force,
        )
    arguments.payload = {"path": str(path), "format": arguments.format, "scenario": arguments.scenario}
    print(f"{arguments.format} written to {path}")
    print(f"scenario: {in_force(arguments, model)}")
    return 0


def _fingerprint(arguments: Arguments) -> int:
    from metabolism.exports import model_fingerprint
    from metabolism.sbml import REGIMEN as DOSES
    from metabolism.sbml import differences, file_fingerprint, read_fingerprint, side_by_side
    from metabolism.units import magnitude

    if arguments.compare:
        first, second = (read_fingerprint(path) for path in arguments.compare)
        lines = differences(first, second, arguments.rtol)
        arguments.payload = {"differences": lines, "rtol": arguments.rtol}
        print("\n".join(lines) if lines else f"identical to a relative difference of {arguments.rtol:g}")
        return 1 if lines else 0
    until = magnitude(arguments.until, "h", "until")
    with working("reading the kinetics"):
        if arguments.file:
            if arguments.sets or arguments.param or arguments.regimen or arguments.scenario:
                raise UsageError("--set, --param, --scenario and --regimen change our own model, not a file.")
            document = file_fingerprint(arguments.file, until, seconds=arguments.seconds, megabytes=arguments.megabytes)
        else:
            document = model_fingerprint(chosen_model(arguments), arguments.regimen or DOSES, until)
    arguments.payload = document
    print(side_by_side(document))
    return 1 if document["problem"] else 0


def _compare(arguments: Arguments) -> int:
    from metabolism.exports import model_fingerprint
    from metabolism.sbml import file_fingerprint, side_by_side
    from metabolism.units import magnitude

    until = magnitude(arguments.until, "h", "until")
    with working("reading the kinetics"):
        theirs = file_fingerprint(arguments.file, until, seconds=arguments.seconds, megabytes=arguments.megabytes)
        ours = model_fingerprint(chosen_model(arguments))
    arguments.payload = {"ours": ours, "theirs": theirs}
    print(side_by_side(ours, theirs))
    return 0


def _evidence(arguments: Arguments) -> int:
    from metabolism.report import evidence_text

    if arguments.out is None:
        arguments.payload = {"markdown": evidence_text()}
        print(arguments.payload["markdown"])
        return 0
    target = check_target(arguments.out, arguments.force)
    formats = {".md": "markdown", ".html": "html"}
    if target.suffix not in formats:
        raise UsageError(f"'{target}' must end in .md or .html.")
    arguments.payload = {"path": str(write_text(target, evidence_text(formats[target.suffix], target.parent)))}
    print(f"evidence written to {target}")
    return 0


def _formats() -> Iterable[str]:
    from metabolism.exports import FORMATS

    return FORMATS


_LIMITS = (
    option("--until", default="2 weeks", metavar="TIME", help="end of the run that executes events (2 weeks)"),
    option("--seconds", type=int, default=300, help="time limit of reading a file (300)"),
    option("--megabytes", type=int, default=4000, help="memory limit of reading a file (4000)"),
)

#: The commands of this file.
COMMANDS = (
    Command(
        "check",
        "check model, numbers, sources and data",
        _check,
        (option("--rewrite", action="store_true", help="write derived values and the SBML build afresh first"),),
        ("metabolism check", "metabolism check --rewrite", "metabolism check --json"),
    ),
    Command(
        "export",
        "write the model for other tools: SBML, OMEX, PEtab, code, report",
        _export,
        (
            option(
                "format",
                names=_formats,
                help="sbml, sbml-l3v1, sbml-l2v4, antimony, omex, petab, python, julia, r, latex, markdown, report, "
                "parameters",
            ),
            option("path", help="the file to write (a folder for petab)"),
            REGIMEN,
            UNTIL,
            option("--start", default="rest", help="initial values: rest (default) or initial (the table's)"),
            *MODEL,
        ),
        (
            'metabolism export sbml als.xml --regimen "50 mg im every 3.5 d x 32"',
            "metabolism export omex als.omex --scenario face_value",
            "metabolism export antimony als.ant --set mthfr_677tt",
        ),
    ),
    Command(
        "fingerprint",
        "print resting state, fluxes, control coefficients and event ledger",
        _fingerprint,
        (
            option("file", nargs="?", help="an SBML file; our own model by default"),
            REGIMEN,
            option("--compare", nargs=2, metavar=("A", "B"), help="report where two written fingerprints differ"),
            option("--rtol", type=float, default=1e-6, help="largest accepted relative difference (1e-6)"),
            *_LIMITS,
            *MODEL,
        ),
        (
            "metabolism fingerprint",
            "metabolism fingerprint --json als.json",
            "metabolism fingerprint --compare a.json b.json",
        ),
    ),
    Command(
        "compare",
        "print the fingerprint of a foreign SBML file beside ours",
        _compare,
        (option("file", help="an SBML file"), *_LIMITS, *MODEL),
        ("metabolism compare model.xml",),
    ),
    Command(
        "evidence",
        "write what supports the model, by the headings of M15, V&V40 and others",
        _evidence,
        (option("--out", metavar="PATH", help="write a .md or .html file instead of printing Markdown"),),
        ("metabolism evidence", "metabolism evidence --out evidence.html"),
    ),
)
