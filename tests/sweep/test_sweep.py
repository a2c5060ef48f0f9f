"""Sweeps: any design, the same table to the last bit however it is run, nothing lost and nothing done twice."""

from __future__ import annotations

import io
import os
import pickle
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import xarray as xr
import yaml

import metabolism as mb
import metabolism.sweep.workers as sweeping
from metabolism.errors import InvalidValue, MetabolismError, OutputError, UnknownName, UsageError
from metabolism.progress import show
from metabolism.simulation import NAMED, Endpoint, make_study
from metabolism.sweep.samples import Grid, Table, as_samples
from metabolism.sweep.store import Store

DOSE = "50 mg im"
ROOT = Path(__file__).resolve().parents[2]
#: The package under test, wherever a process starts.
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(mb.__file__).parents[1])}
QUICK = {"regimen": DOSE, "until": "24 h", "endpoints": ["percent_change(hcy_plasma)", "auc(cbl_plasma)"]}


@pytest.fixture(scope="module")
def design(model):
    rng = np.random.default_rng(7)
    names = ["GFR_rel", "CBS_Km_hcy", "CBL_CLf"]
    return pd.DataFrame({n: model.values[n] * rng.uniform(0.7, 1.3, 24) for n in names})


@pytest.fixture(scope="module")
def whole(model, design):
    return mb.scan(model, design, **QUICK)


def parts(folder):
    return {p.name: p.read_bytes() for p in sorted(Path(folder).glob("part-*.parquet"))}


class TestDesigns:
    def test_a_grid_is_all_combinations_in_order_without_being_stored(self):
        grid = Grid({"a": (1.0, 2.0), "b": (3.0, 4.0, 5.0)})
        assert grid.rows(0, 6).tolist() == [[1, 3], [1, 4], [1, 5], [2, 3], [2, 4], [2, 5]]
        assert grid.rows(4, 5).tolist() == [[2, 4]]
        huge = Grid({c: tuple(np.arange(1.0, 101)) for c in "abc"})
        assert len(huge) == 1_000_000
        assert huge.rows(999_999, 1_000_000).tolist() == [[100, 100, 100]]
        assert sum(len(rows) for _, rows in huge.table().blocks()) == 1_000_000

    def test_every_kind_of_source_gives_the_same_runs(self, design, tmp_path):
        known = {*design.columns}
        design.to_csv(tmp_path / "d.csv", index=False)
        design.assign(note="x").to_parquet(tmp_path / "d.parquet", row_group_size=10)
        draws = xr.Dataset(
            {n: (("chain", "draw"), design[n].to_numpy().reshape(2, 12)) for n in design}, {"chain": [0, 1]}
        )
        made = [as_samples(s, known) for s in (design, tmp_path / "d.csv", str(tmp_path / "d.parquet"), draws)]
        for other in made:
            assert set(other.names) == known
            order = [other.names.index(c) for c in design.columns]
            assert np.array_equal(other.rows(0, 24)[:, order], design.to_numpy())
            assert np.array_equal(other.rows(8, 13)[:, order], design.to_numpy()[8:13])
        assert made[0].digest == as_samples(made[0], known).digest
        assert made[0].digest != as_samples(design * 1.5, known).digest

    @pytest.mark.parametrize(
        ("source", "error", "words"),
        [
            ({"GFR_rl": [1.0]}, UnknownName, "Did you mean 'GFR_rel'"),
            ({}, InvalidValue, "at least one"),
            ({"GFR_rel": []}, InvalidValue, "no values"),
            ({"GFR_rel": ["high"]}, InvalidValue, "no number"),
            ({"GFR_rel": [[1.0, 2.0]]}, InvalidValue, "dimensions"),
            ({"GFR_rel": [1.0, -1.0]}, InvalidValue, "run 1"),
            ({"GFR_rel": [np.nan]}, InvalidValue, "finite"),
            (pd.DataFrame({"x": [1.0]}), UnknownName, "no column"),
            (pd.DataFrame({"GFR_rel": []}), InvalidValue, "no runs"),
            (pd.DataFrame({"GFR_rel": ["a"]}), InvalidValue, "no number"),
            (pd.DataFrame({"GFR_rel": [1.0], "MN_K": [1.0]}), UsageError, "MN_k"),
            (pd.DataFrame({"GFR_rel": [1.0], " MN_k": [1.0]}), UsageError, "MN_k"),
            (pd.DataFrame([[1.0, 2.0]], columns=["GFR_rel", "GFR_rel"]), UsageError, "twice"),
            ("nowhere.csv", InvalidValue, "no design file"),
            (3.0, UsageError, "float"),
        ],
    )
    def test_a_wrong_design_is_refused(self, source, error, words):
        with pytest.raises(error, match=words):
            as_samples(source, {"GFR_rel", "MN_k"})

    def test_a_table_of_the_wrong_shape_or_file_is_refused(self, tmp_path):
        with pytest.raises(InvalidValue, match="shape"):
            Table(("a", "b"), np.ones((3, 3)))
        (tmp_path / "bad.parquet").write_text("no parquet")
        with pytest.raises(InvalidValue, match="cannot be read"):
            as_samples(tmp_path / "bad.parquet", {"GFR_rel"})
        (tmp_path / "bad.txt").write_text("x")
        with pytest.raises(InvalidValue, match=r"\.csv or \.parquet"):
            as_samples(tmp_path / "bad.txt", {"GFR_rel"})


class TestEndpoints:
    def test_a_file_begins_with_a_byte_order_mark_as_spreadsheets_write_it(self, tmp_path):
        (tmp_path / "marked.csv").write_bytes(b"\xef\xbb\xbfGFR_rel,CBS_activity\r\n0.5,1\r\n")
        samples = as_samples(tmp_path / "marked.csv", {"GFR_rel", "CBS_activity"})
        assert (samples.names, samples.rows(0, 1).tolist()) == (("GFR_rel", "CBS_activity"), [[0.5, 1.0]])
        for text in (b"GFR_rel\n", b"", b"\xef\xbb\xbf"):
            (tmp_path / "empty.csv").write_bytes(text)
            with pytest.raises(InvalidValue, match="has no rows; the first line names parameters"):
                as_samples(tmp_path / "empty.csv", {"GFR_rel"})

    def test_every_named_endpoint_can_be_read_and_has_a_unit(self, model):
        study = make_study(model, DOSE, "1 d", None)
        assert [e.text for e in study.endpoints] == list(NAMED)
        assert study.identity()["units"][:4] == ["%", "dimensionless", "uM", "uM h"]

    @pytest.mark.parametrize(
        ("text", "error", "words"),
        [
            ("hcy_chang", UnknownName, "Did you mean 'hcy_change'"),
            ("chnge(hcy_plasma)", UnknownName, "Did you mean 'change'"),
            ("change(hcy_plasma", UsageError, "cannot be read"),
            ("change(hcy)", UnknownName, "no output 'hcy'"),
            ("auc(sam_liver / sah_liver)", InvalidValue, "ratio"),
            ("time_above(cbl_plasma)", InvalidValue, "level"),
            ("final(cbl_plasma, 3)", InvalidValue, "level"),
            ("time_above(cbl_plasma, high)", InvalidValue, "not a number"),
        ],
    )
    def test_a_wrong_endpoint_is_refused_before_any_run(self, model, text, error, words):
        with pytest.raises(error, match=words):
            make_study(model, DOSE, "1 d", [text])

    def test_the_running_endpoints_are_those_of_stored_curves_on_another_engine(self, model, design):
        asked = [
            "initial(cbl_plasma)",
            "final(sam_liver / sah_liver)",
            "change(hcy_plasma)",
            "max(cbl_plasma)",
            "min(hcy_plasma)",
            "mean(hcy_plasma)",
            "auc(cbl_plasma)",
            "time_above(cbl_plasma, 0.5)",
            "change(mma_plasma) vs untreated",
        ]
        few = design.iloc[:2]
        options = {"regimen": DOSE, "until": "48 h", "endpoints": asked}
        fast = mb.scan(model, few, rtol=1e-9, **options).values()
        other = mb.scan(model, few, engine="roadrunner", rtol=1e-9, **options).values()
        exact = [0, 1, 2, 4, 8]
        assert np.allclose(fast[:, exact], other[:, exact], rtol=2e-6, atol=1e-9)
        # these depend on the grid of the stored curve
        assert np.allclose(fast, other, rtol=5e-3, atol=1e-9)

    def test_versus_untreated_is_the_difference_of_two_sweeps(self, model, design):
        few = design.iloc[:3]
        treated, untreated = (
            mb.scan(model, few, regimen, "48 h", endpoints=["change(mma_plasma)"]).values() for regimen in (DOSE, None)
        )
        versus = mb.scan(model, few, DOSE, "48 h", endpoints=["change(mma_plasma) vs untreated"]).values()
        assert np.array_equal(versus, treated - untreated)
        assert (versus != 0).all()


class TestStore:
    def test_results_come_as_pandas_and_as_xarray_over_the_axes_of_a_grid(self, model):
        sweep = mb.scan(model, {"GFR_rel": [0.5, 1.0], "CBS_activity": [1.0, 0.5, 0.3]}, **QUICK)
        table, data = sweep.frame(), sweep.dataset()
        assert list(table.columns) == ["run", "GFR_rel", "CBS_activity", *QUICK["endpoints"], "failure"]
        assert data.sizes == {"GFR_rel": 2, "CBS_activity": 3}
        one = data["auc(cbl_plasma)"].sel(GFR_rel=1.0, CBS_activity=0.3)
        assert float(one) == table["auc(cbl_plasma)"][5]
        assert one.attrs["units"] == "uM h"
        single = mb.simulate(
            model.with_values(CBS_activity=0.3),
            DOSE,
            "24 h",
            outputs=["hcy_plasma"],
            engine="fast",
            patients={"GFR_rel": [1.0]},
            rtol=1e-6,
        )
        curve = single["hcy_plasma"].values[0]
        assert table[QUICK["endpoints"][0]][5] == pytest.approx(100 * (curve[-1] / curve[0] - 1), rel=1e-9)

    def test_part_size_changes_no_bit(self, model, design, whole):
        other = mb.scan(model, design, chunk=5, **QUICK)
        pd.testing.assert_frame_equal(whole.frame(), other.frame(), check_exact=True)

    def test_an_interrupted_sweep_goes_on_where_it_stopped(self, model, design, whole, tmp_path):
        def stop_after(count):
            def begin(label, total):
                left = [count]

                def tick(runs):
                    left[0] -= 1
                    if left[0] == 0:
                        raise KeyboardInterrupt

                return tick

            return begin

        done = {}
        for _ in range(2):
            with pytest.raises(KeyboardInterrupt):
                mb.scan(model, design, store=tmp_path / "s", chunk=4, progress=stop_after(2), **QUICK)
            assert done.items() <= parts(tmp_path / "s").items()
            assert len(parts(tmp_path / "s")) == len(done) + 2
            done = parts(tmp_path / "s")
        assert not mb.Sweep(tmp_path / "s").complete
        totals = []
        sweep = mb.scan(
            model, design, store=tmp_path / "s", progress=lambda _, n: totals.append(n) or (lambda k: None), **QUICK
        )
        assert totals == [8]
        assert sweep.complete
        pd.testing.assert_frame_equal(sweep.frame(), whole.frame(), check_exact=True)
        mb.scan(model, design, store=tmp_path / "s", progress=lambda _, n: pytest.fail("ran again"), **QUICK)

    def test_a_killed_process_loses_no_finished_part(self, model, design, whole, tmp_path):
        design.to_csv(tmp_path / "d.csv", index=False)
        code = (
            "import time, metabolism as mb\n"
            f"mb.scan(mb.load(), 'd.csv', store='s', chunk=2, progress=lambda l, n: lambda k: time.sleep(0.3), "
            f"**{QUICK!r})"
        )
        process = subprocess.Popen([sys.executable, "-c", code], cwd=tmp_path, env=ENVIRONMENT)
        while len(parts(tmp_path / "s")) < 3 and process.poll() is None:
            time.sleep(0.05)
        process.send_signal(signal.SIGKILL)
        process.wait()
        kept = parts(tmp_path / "s")
        assert 3 <= len(kept) < 12
        # what a kill in the middle of writing leaves behind, and a file cut short by a machine that went down
        (tmp_path / "s" / ".part-000009.parquet.x.parquet").write_bytes(b"half")
        (tmp_path / "s" / "part-000011.parquet").write_bytes(b"PAR1")
        sweep = mb.scan(model, tmp_path / "d.csv", store=tmp_path / "s", **QUICK)
        assert kept.items() <= parts(tmp_path / "s").items()
        assert not list((tmp_path / "s").glob(".part-*"))
        pd.testing.assert_frame_equal(sweep.frame(), whole.frame(), check_exact=True)

    @pytest.mark.parametrize(
        ("change", "words"),
        [
            ({"until": "25 h"}, "until_h"),
            ({"regimen": "25 mg im"}, "regimen"),
            ({"endpoints": ["max(cbl_plasma)"]}, "endpoints"),
            ({"rtol": 1e-5}, "rtol"),
            ({"chunk": 7}, "chunk"),
        ],
    )
    def test_a_store_of_another_request_is_refused(self, model, design, tmp_path, change, words):
        few = design.iloc[:2]
        mb.scan(model, few, store=tmp_path / "s", **QUICK)
        before = parts(tmp_path / "s")
        with pytest.raises(UsageError, match=words):
            mb.scan(model, few, store=tmp_path / "s", **{**QUICK, **change})
        assert parts(tmp_path / "s") == before

    def test_a_store_of_another_model_design_or_origin_is_refused(self, model, design, tmp_path):
        few = design.iloc[:2]
        mb.scan(model, few, store=tmp_path / "s", **QUICK)
        with pytest.raises(UsageError, match=r"another model version.*parameter_hash"):
            mb.scan(model.with_values(MS_liver_Km_hcy=2.0), few, store=tmp_path / "s", **QUICK)
        with pytest.raises(UsageError, match="digest"):
            mb.scan(model, few * 1.01, store=tmp_path / "s", **QUICK)
        (tmp_path / "other").mkdir()
        (tmp_path / "other/notes.txt").write_text("mine")
        with pytest.raises(UsageError, match=r"not empty.*notes\.txt"):
            mb.scan(model, few, store=tmp_path / "other", **QUICK)
        for text in ("{", "[" * 100_000):
            (tmp_path / "s/manifest.json").write_text(text)
            with pytest.raises(UsageError, match="holds no sweep"):
                mb.Sweep(tmp_path / "s")
        with pytest.raises(OutputError, match="cannot write"):
            mb.scan(model, few, store="/dev/null/s", **QUICK)

    def test_no_flipped_bit_and_no_part_from_elsewhere_gives_other_numbers(self, model, design, whole, tmp_path):
        mb.scan(model, design, store=tmp_path / "s", chunk=12, **QUICK)
        file = tmp_path / "s" / "part-000001.parquet"
        right = file.read_bytes()
        other = file.with_name("part-000000.parquet").read_bytes()
        rng = np.random.default_rng(3)
        flips = [bytearray(right) for _ in range(100)]
        for damaged in flips:
            damaged[rng.integers(len(right))] ^= 1 << int(rng.integers(8))
        for wrong in (*flips, other, right[:-1]):
            file.write_bytes(wrong)
            with pytest.raises(OutputError, match=r"part-000001\.parquet.*delete it and repeat"):
                mb.Sweep(tmp_path / "s").values()
            assert mb.Sweep(tmp_path / "s").missing() == [1]
        sweep = mb.scan(model, design, store=tmp_path / "s", **QUICK)
        assert file.read_bytes() == right
        pd.testing.assert_frame_equal(sweep.frame(), whole.frame(), check_exact=True)

    def test_other_readers_find_a_flipped_bit_in_a_page_too(self, model, design, tmp_path):
        mb.scan(model, design, store=tmp_path / "s", **QUICK)
        file = tmp_path / "s" / "part-000000.parquet"
        column = pq.read_metadata(file).row_group(0).column(2)
        damaged = bytearray(file.read_bytes())
        damaged[column.data_page_offset + column.total_compressed_size // 4] ^= 1
        file.write_bytes(damaged)
        with pytest.raises(OSError, match=r"CRC|corrupt"):
            pq.read_table(file, page_checksum_verification=True)

    def test_two_sweeps_cannot_write_to_one_store(self, model, design, tmp_path):
        def begin(label, total):
            with pytest.raises(OutputError, match="in use"):
                mb.scan(model, design, store=tmp_path / "s", **QUICK)
            return lambda k: None

        mb.scan(model, design, store=tmp_path / "s", progress=begin, **QUICK)

    def test_a_failed_run_is_kept_counted_and_located(self, model):
        # without any way out of the plasma homocysteine runs away: no resting state
        gone = {
            "GFR_rel": 1.0,
            "PROPIONYL_SUPPLY_rate": model.values["PROPIONYL_SUPPLY_rate"],
            "MCM_k": model.values["MCM_k"],
        }
        table = pd.DataFrame([gone, {**gone, "PROPIONYL_SUPPLY_rate": 1e9}, gone])
        sweep = mb.scan(model, table, **QUICK)
        assert sweep.failures["run"].tolist() == [1]
        assert "no resting state" in sweep.failures["failure"][0]
        assert np.isnan(sweep.values()[1]).all()
        assert np.array_equal(sweep.values()[0], sweep.values()[2])

    @pytest.mark.slow
    def test_a_million_runs_stay_small_in_the_parent(self, model, tmp_path):
        # the machinery without the solver, at full size
        code = (
            "import resource, numpy as np, metabolism as mb\n"
            "from metabolism.sweep import workers\n"
            "workers.run_rows = lambda study, columns, rows: (rows[:, :1] * 2.0, [''] * len(rows))\n"
            "axis = lambda name: np.linspace(0.5, 1.5, 100) * mb.load().values[name]\n"
            "grid = {n: axis(n) for n in ('GFR_rel', 'CBS_Km_hcy', 'CBL_CLf')}\n"
            "sweep = mb.scan(mb.load(), grid, None, 1, endpoints=['final(hcy_plasma)'], store='s')\n"
            "assert len(sweep) == 1_000_000 and sweep.complete\n"
            "assert sum(len(b) for b in sweep.batches()) == 1_000_000\n"
            "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
        )
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True, check=True
        )
        assert int(done.stdout) * (1 if sys.platform == "darwin" else 1024) < 1e9


class TestWorkers:
    def test_a_model_survives_pickling(self, model):
        changed = model.with_set("als_patient").with_values(GFR_rel=0.8)
        again = pickle.loads(pickle.dumps(changed))
        assert (again.values, again.sets, again.parameter_hash) == (
            changed.values,
            changed.sets,
            changed.parameter_hash,
        )
        with pytest.raises(TypeError):
            again.changed["GFR_rel"] = 1.0

    def test_two_processes_give_the_same_table_even_if_one_is_killed(self, model, design, whole, tmp_path):
        from loky import get_reusable_executor

        killed = []

        def begin(label, total):
            def tick(runs):
                if not killed:
                    killed.append(next(iter(get_reusable_executor(reuse=True)._processes)))
                    os.kill(killed[0], signal.SIGKILL)

            return tick

        sweep = mb.scan(model, design, store=tmp_path / "s", chunk=2, workers=2, progress=begin, **QUICK)
        get_reusable_executor(reuse=True).shutdown(wait=True)
        assert killed
        pd.testing.assert_frame_equal(sweep.frame(), whole.frame(), check_exact=True)

    def test_a_cluster_gives_the_same_table_even_if_workers_are_killed(
        self, model, design, whole, tmp_path, monkeypatch
    ):
        from distributed import Future

        with cluster(tmp_path) as (address, workers):
            ticks = []

            def kill(number, after):
                def begin(label, total):
                    def tick(runs):
                        ticks.append(runs)
                        if len(ticks) == after:
                            workers[number].kill()

                    return tick

                return begin

            request = {"cluster": address, "chunk": 1, **QUICK}
            sweep = mb.scan(model, design, store=tmp_path / "s", progress=kill(0, 3), **request)
            assert workers[0].wait(10) == -signal.SIGKILL
            assert ticks == [1] * 24
            pd.testing.assert_frame_equal(sweep.frame(), whole.frame(), check_exact=True)

            # now the last worker dies too, with results that are done but not fetched, and nobody comes
            ticks.clear()
            monkeypatch.setattr(sweeping, "PATIENCE", 2.0)
            fetch = Future.result

            def late(future, timeout=None):
                if len(ticks) == 2:
                    workers[1].kill()
                    workers[1].wait()
                return fetch(future, timeout)

            monkeypatch.setattr(Future, "result", late)
            with pytest.raises(MetabolismError, match="finished runs are kept"):
                mb.scan(model, design, store=tmp_path / "t", progress=kill(1, 1000), **request)
        assert 2 <= len(parts(tmp_path / "t")) < 24
        rest = mb.scan(model, design, store=tmp_path / "t", **QUICK)
        pd.testing.assert_frame_equal(rest.frame(), whole.frame(), check_exact=True)

    def test_a_cluster_that_cannot_be_used_is_refused_before_any_work(self, model, design, tmp_path, monkeypatch):
        monkeypatch.setattr(sweeping, "CONNECT", 1.0)
        for address in ("tcp://127.0.0.1:9", "warp://x", "no address"):
            with pytest.raises(UsageError, match="scheduler"):
                mb.scan(model, design, store=tmp_path / "s", cluster=address, **QUICK)
        assert not (tmp_path / "s").exists()

    def test_a_worker_with_other_software_is_refused(self, model, design):
        study = make_study(model, **QUICK)
        with pytest.raises(UsageError, match=r"numpy .* \(not 1\.0\)"):
            sweeping.run_part(study, list(design), design.to_numpy(), {"numpy": "1.0"})

    @pytest.mark.parametrize(
        "wrong", [{"workers": 0}, {"chunk": 0}, {"engine": "warp"}, {"rtol": 1.0}, {"start": "now"}]
    )
    def test_wrong_options_are_refused(self, model, design, wrong):
        with pytest.raises(UsageError, match=str(next(iter(wrong.values())))):
            mb.scan(model, design, **QUICK, **wrong)


def composed(service, **instead):
    """The command that compose.yaml starts a service with, with some words replaced."""
    words = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"][service]["entrypoint"]
    assert instead.keys() <= set(words)
    words = [given for word in words for given in instead.get(word, [word])]
    return [str(Path(sys.executable).with_name(words[0])), *words[1:]]


class cluster:  # noqa: N801
    """A real scheduler and two worker processes on loopback, by the commands of compose.yaml."""

    def __init__(self, folder):
        self.folder = folder

    def __enter__(self):
        place = self.folder / "scheduler.json"
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": self.folder, "env": ENVIRONMENT}
        scheduler = composed("scheduler", **{"0.0.0.0": ["127.0.0.1"]})
        self.scheduler = subprocess.Popen(
            [*scheduler, "--port", "0", "--no-dashboard", "--scheduler-file", str(place)], **quiet
        )
        worker = composed("worker", **{"tcp://scheduler:8786": ["--scheduler-file", str(place)]})
        self.workers = [
            subprocess.Popen([*worker, "--no-nanny", "--no-dashboard", "--name", str(n)], **quiet) for n in range(2)
        ]
        import json

        from distributed import Client

        waited = time.monotonic()
        while not place.exists() and time.monotonic() - waited < 60:
            time.sleep(0.05)
        address = json.loads(place.read_text())["address"]
        with Client(address, set_as_default=False) as client:
            client.wait_for_workers(2, timeout=60)
        return address, self.workers

    def __exit__(self, *_):
        for process in [*self.workers, self.scheduler]:
            if process.poll() is None:
                process.terminate()
                process.wait(30)


class TestProgress:
    def test_a_log_file_gets_few_whole_lines(self):
        stream, now = io.StringIO(), [0.0]
        with show(stream, clock=lambda: now[0]) as progress:
            tick = progress("runs", 100)
            for _ in range(100):
                now[0] += 1.0
                tick(1)
        assert stream.getvalue().splitlines() == [
            "runs: 1 of 100, 99 s left",
            "runs: 31 of 100, 69 s left",
            "runs: 61 of 100, 39 s left",
            "runs: 91 of 100, 9 s left",
            "runs: 100 of 100",
        ]

    def test_a_terminal_sees_a_bar_before_the_first_slow_step_and_its_cursor_again_after_an_error(self, monkeypatch):
        class Terminal(io.StringIO):
            def isatty(self):
                return True

        monkeypatch.setenv("TERM", "xterm")
        stream = Terminal()

        def work():
            with show(stream) as progress:
                tick = progress("starts", 2)
                time.sleep(0.3)
                assert "0/2" in stream.getvalue()
                tick(2)
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            work()
        assert "2/2" in stream.getvalue()
        assert stream.getvalue().endswith("\x1b[?25h")

    def test_parts_cover_every_run_once(self):
        store = Store(Path(), {"chunk": 7, "design": {"runs": 30, "columns": []}, "study": {"endpoints": []}})
        runs = [r for part in range(store.parts) for r in range(*store.span(part))]
        assert runs == list(range(30))


def test_endpoints_are_plain_values():
    assert Endpoint.parse("final( sam_liver/sah_liver )").outputs == ("sam_liver", "sah_liver")
    assert Endpoint.parse("change(alsfrs_r) vs untreated").versus
