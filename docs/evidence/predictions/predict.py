"""Write a dated prediction that nothing may change afterwards, with its SHA-256.

python docs/evidence/predictions/predict.py
"""

import hashlib
import json
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from metabolism.report import run

HERE = Path(__file__).resolve().parent
SUMS = HERE / "SHA256SUMS"


def main() -> None:
    """Run the experiment in full, and write its answer, table and versions under today's date."""
    day = datetime.now(UTC).date().isoformat()
    path = HERE / f"{day}-jetals-extension.json"
    if path.exists():
        raise SystemExit(f"{path.name} is there already: a prediction is written once.")
    with TemporaryDirectory() as folder:
        outcome, results = run("extension", out=folder)
        manifest = json.loads((results / "manifest.json").read_text(encoding="utf-8"))
    commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=HERE, capture_output=True, text=True, check=True).stdout
    table = outcome.tables["all_weeks"].round(4)
    record = {
        "what": "difference of ALSFRS-R, 50 mg from the start minus start after 16 weeks, extension of JETALS [points]",
        "written": day,
        "known then": "JETALS; of the extension only that 124 patients entered it and that it ran to March 2024",
        "rule": outcome.answer.split("Rule of scoring: ")[1],
        "answer": outcome.answer,
        "notes": outcome.notes,
        "commit before": commit.strip(),
        **{key: manifest[key] for key in ("model_hash", "parameter_hash", "seed", "versions")},
        "columns": list(table.columns),
        "rows": table.to_numpy().tolist(),
    }
    text = json.dumps(record, indent=1, ensure_ascii=False) + "\n"
    path.write_text(text, encoding="utf-8")
    with SUMS.open("a", encoding="utf-8") as sums:
        sums.write(f"{hashlib.sha256(text.encode()).hexdigest()}  {path.name}\n")
    print(f"{path.name} written; sha256 in {SUMS.name}")


if __name__ == "__main__":
    main()
