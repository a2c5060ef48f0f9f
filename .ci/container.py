"""Build the container and run the main job in it: python .ci/container.py [--stand-in]

With an engine (docker or podman) that is what happens. Where none runs, as root on Linux, ``--stand-in`` carries out
the instructions of the Containerfile one by one, each stage on a layer of its own over this machine's system in place
of the base image, with its compilers taken away: what is copied, installed and said about users, folders and health is
then proven, the base image is not. Nothing outside the layers is written.
"""

import argparse
import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
#: What the main job has to leave behind, in the folder that is mounted as results.
LEFT = "jetals/*/report.html"
COMPILERS = ("gcc", "cc", "c++", "g++", "make", "clang")


def instructions() -> list[tuple[str, str]]:
    """Return word and rest of each instruction of the Containerfile."""
    text = (ROOT / "Containerfile").read_text(encoding="utf-8").replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return [(word.upper(), rest.strip()) for word, _, rest in (line.strip().partition(" ") for line in lines)]


@dataclass
class Stage:
    """A root of its own: this machine's system below, what the stage writes above it."""

    place: Path
    environment: dict[str, str]
    user: str = "root"
    folder: str = "/"
    said: dict[str, list[str]] = field(default_factory=dict)

    @property
    def root(self) -> Path:
        """Where its file system is seen."""
        return self.place / "root"

    def mounted(self, python: Path) -> "Stage":
        """Mount the layer, with one Python as ``python`` and no compiler."""
        for name in ("upper", "work", "root"):
            (self.place / name).mkdir(parents=True)
        layer = f"lowerdir=/,upperdir={self.place}/upper,workdir={self.place}/work"
        subprocess.run(["mount", "-t", "overlay", "overlay", "-o", layer, self.root], check=True)
        for name in ("proc", "dev"):
            subprocess.run(["mount", "--rbind", f"/{name}", self.root / name], check=True)
        for tool in COMPILERS:
            for found in (self.root / "usr/bin").glob(f"*{tool}*"):
                if found.name.rstrip("0123456789-.").endswith(tool):
                    found.unlink()
        # the base image has its Python where everybody may start it
        shutil.copytree(python.resolve().parents[1], self.root / "opt/python", symlinks=True)
        (self.root / "usr/local/bin/python").unlink(missing_ok=True)
        (self.root / "usr/local/bin/python").symlink_to(f"/opt/python/bin/{python.resolve().name}")
        return self

    def run(self, command: list[str], user: str | None = None) -> subprocess.CompletedProcess[str]:
        """Run a command in it; its output is shown when it fails."""
        enter = ["chroot", f"--userspec={user or self.user}", self.root, "env", "-i", "-C", self.folder]
        words = [f"{k}={v}" for k, v in self.environment.items()]
        done = subprocess.run([*enter, *words, *command], capture_output=True, text=True, check=False)
        if done.returncode:
            sys.exit(
                f"{shlex.join(command)}\nexit code {done.returncode}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
            )
        return done

    def copy(self, rest: str, stages: dict[str, "Stage"]) -> None:
        """Carry out COPY, from the repository without what .dockerignore names, or from another stage."""
        *sources, target = (w for w in rest.split() if not w.startswith("--"))
        origin = next((w.removeprefix("--from=") for w in rest.split() if w.startswith("--from=")), None)
        base = stages[origin].root if origin else ROOT
        ignored = [p.removeprefix("**/") for p in (ROOT / ".dockerignore").read_text(encoding="utf-8").split()]
        for source in sources:
            begin = base / source.lstrip("/")
            into = self.root / os.path.join(self.folder, target).lstrip("/")
            into = into / begin.name if target.endswith("/") or (len(sources) > 1 and begin.is_file()) else into
            into.parent.mkdir(parents=True, exist_ok=True)
            if begin.is_dir():
                leave = None if origin else shutil.ignore_patterns(*(p for p in ignored if "/" not in p))
                shutil.copytree(begin, into, symlinks=True, ignore=leave, dirs_exist_ok=True)
            else:
                shutil.copy2(begin, into)


def stand_in(python: Path) -> None:
    """Carry out the Containerfile, then the health check and the main job as its user."""
    place = Path(tempfile.mkdtemp())
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", place], check=True)
    stages: dict[str, Stage] = {}
    stage: Stage | None = None
    for word, rest in instructions():
        print(word, rest, flush=True)
        if word == "FROM":
            _, _, name = rest.partition(" AS ")
            name = name or f"stage{len(stages)}"
            registry = {k: v for k, v in os.environ.items() if k.startswith("PIP_")}
            plain = {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": "/root", **registry}
            stage = stages[name] = Stage(place / name, plain).mounted(python)
            continue
        assert stage is not None, "the first instruction is FROM"
        if word == "RUN":
            stage.run(["/bin/sh", "-c", rest])
        elif word == "COPY":
            stage.copy(rest, stages)
        elif word == "ENV":
            for pair in shlex.split(rest):
                name, _, value = pair.partition("=")
                stage.environment[name] = value.replace("$PATH", stage.environment["PATH"])
        elif word == "USER":
            stage.user, stage.environment["HOME"] = rest, f"/home/{rest}"
        elif word == "WORKDIR":
            stage.folder = rest
            (stage.root / rest.lstrip("/")).mkdir(parents=True, exist_ok=True)
        else:
            stage.said[word] = json.loads(rest[rest.index("[") :])
    assert stage is not None
    assert stage.user != "root", "the container is to run without rights"
    size = sum(p.stat().st_size for p in (stage.root / "opt/als").rglob("*") if p.is_file() and not p.is_symlink())
    print(f"/opt/als holds {size / 1e6:.0f} MB; health check and main job as {stage.user}", flush=True)
    stage.run(stage.said["HEALTHCHECK"])
    print(stage.run([*stage.said["ENTRYPOINT"], *stage.said["CMD"]]).stdout[-1500:])
    assert list((stage.root / stage.folder.lstrip("/") / "results").glob(LEFT)), f"no results/{LEFT}"
    for name in stages:
        subprocess.run(["umount", "--recursive", "--lazy", stages[name].root], check=True)
    subprocess.run(["umount", "--lazy", place], check=True)


def engine(program: str) -> None:
    """Build with an engine, ask the health check, run the main job with a mounted folder."""
    subprocess.run([program, "build", "--file", "Containerfile", "--tag", "als-methionine", "."], cwd=ROOT, check=True)
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o777)
        run = [program, "run", "--rm", "--volume", f"{folder}:/als/results", "als-methionine"]
        subprocess.run([*run, "doctor", "--quiet"], check=True)
        subprocess.run([*run, "run", "jetals"], check=True)
        assert list(Path(folder).glob(LEFT)), f"no {LEFT}"


def answers(program: str) -> bool:
    """Tell whether an engine is there and runs."""
    if shutil.which(program) is None:
        return False
    return subprocess.run([program, "info"], capture_output=True, check=False).returncode == 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stand-in", action="store_true", help="carry out the steps without an engine")
    parser.add_argument("--python", type=Path, default=Path(sys.executable), help="stands for that of the base image")
    asked = parser.parse_args()
    if asked.stand_in and os.environ.get("IN_STAND_IN") != "1":
        # mounts of its own, gone when it ends
        os.execvpe("unshare", ["unshare", "--mount", sys.executable, *sys.argv], os.environ | {"IN_STAND_IN": "1"})
    if asked.stand_in:
        stand_in(asked.python)
    elif found := next((p for p in ("docker", "podman") if answers(p)), None):
        engine(found)
    else:
        sys.exit("no container engine runs here; --stand-in carries out the steps without one, as root on Linux")
