#!/usr/bin/env -S uv run --script
# /// script
# dependencies = ["nox>=2025.10.14"]
# ///
"""Sessions beside `make test`: other Python versions, the lowest and the newest versions of what we depend on."""

import nox

nox.needs_version = ">=2025.10.14"
nox.options.default_venv_backend = "uv|virtualenv"


@nox.session(python=["3.11", "3.12", "3.13", "3.14"])
def tests(session: nox.Session) -> None:
    """The whole suite with the pinned versions."""
    session.install("--constraint", "constraints.txt", "--editable", ".[all]", "--group", "dev")
    session.run("pytest", "-q", *session.posargs)


@nox.session(python="3.11", default=False)
def lowest(session: nox.Session) -> None:
    """The quick suite with the lowest version of every direct dependency that we declare; docs/evidence/lowest.md."""
    session.install("--resolution", "lowest-direct", "--editable", ".[all]", "--group", "dev")
    session.run("pytest", "-q", "-m", "not slow", "--junit-xml", "results/lowest.xml", *session.posargs)
    session.run("python", "benchmarks/lowest.py", "results/lowest.xml")


@nox.session(python="3.13", default=False)
def newest(session: nox.Session) -> None:
    """The quick suite with the newest version of everything."""
    session.install("--upgrade", "--editable", ".[all]", "--group", "dev")
    session.run("pytest", "-q", "-m", "not slow", *session.posargs)


#: Systems that the pinned versions have to be had for, as uv names them; macOS is that of the hosted checks.
SYSTEMS = ("x86_64-manylinux_2_28", "aarch64-manylinux_2_28", "aarch64-apple-darwin", "windows")
#: Packages that come as source alone: pure Python, so that every system can build them.
SOURCES = ("autograd-gamma", "petab", "sbmlmath")


@nox.session(default=False, venv_backend="none")
def platforms(session: nox.Session) -> None:
    """Every pinned version can be had for each system and Python, compiled already; nothing is installed."""
    sources = [word for name in SOURCES for word in ("--no-binary", name)]
    asked = ["--constraint", "constraints.txt", "--all-extras", "--group", "dev", "--only-binary", ":all:", *sources]
    for python in ("3.11", "3.12", "3.13", "3.14"):
        for system in SYSTEMS:
            words = ["--python-version", python, "--python-platform", system, *asked, "pyproject.toml"]
            run = ["uv", "pip", "compile", "--quiet", "--output-file", "-", *words]
            session.run(*run, silent=True, external=True, env={"MACOSX_DEPLOYMENT_TARGET": "15.0"})
            session.log(f"Python {python}, {system}: everything is there")


if __name__ == "__main__":
    nox.main()
