"""The page's own code in real browsers, against the package: kernel, rest, patients, trials, statistics."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from metabolism.dosing import Regimen, plan
from metabolism.engines import get_engine
from metabolism.explorer.contents import SEED
from metabolism.model import equations, load
from metabolism.simulation import Study, simulate
from metabolism.trials import (
    BODY,
    OWN_BASELINE,
    Generator,
    analyse,
    bodies,
    make_pool,
    normals,
    read_design,
    simulate_trial,
)

CLOSE = 1e-9

#: Regimens of the shipped experiments: trials, labels, supplements, an infusion.
REGIMENS = (
    ("50 mg im every 3.5 d x 32", "16 weeks"),
    ("25 mg im every 3.5 d x 16", "8 weeks"),
    ("50 mg im", "144 h"),
    ("25 mg im", "144 h"),
    ("0.5 mg im", "144 h"),
    ("0.5 mg iv", "144 h"),
    ("50 mg im every 3.5 d x 8 + 0.8 mg folic acid oral daily x 28 + 50 mg pyridoxine oral daily x 28", "4 weeks"),
    ("1.5 mg methylcobalamin oral every 8 h x 42", "2 weeks"),
    ("1 mg iv over 2 h every 1 week x 3 + 6 g betaine oral daily x 28", "4 weeks"),
    ("7 g methionine oral", "48 h"),
)


@pytest.fixture(params=["chromium", "firefox"])
def browser(request):
    return request.getfixturevalue(f"in_{request.param}")


def plain_setting(setting):
    """A setting for JSON: a time before every run is none, and an offset may hold one number per patient."""
    time, name, factor, offset = setting
    return [time if np.isfinite(time) else None, name, factor, np.asarray(offset).tolist()]


def kernel_run(text, until):
    """A job for the page's kernel, and what the native engine gives."""
    model = load().with_set("als_patient").with_values(MN_Emax=0.5, MN_beta_hcy=0.67)
    system = equations(model)
    rng = np.random.default_rng(4)
    patients = {
        "GFR_rel": np.exp(rng.normal(0, 0.3, 3)),
        "FOLATE_DIET_rate": model.values["FOLATE_DIET_rate"] * np.exp(rng.normal(0, 0.3, 3)),
        "MTHFR_677T": np.array([0.0, 1.0, 0.0]),
    }
    outputs = [*system.states, *system.computed]
    study = Study.of(model, text, until, own_baseline=OWN_BASELINE, engine="fast", rtol=1e-6)
    # the hours after the first dose too: they give the size of what empties before the next
    early = [0.25, 0.5, 1, 2, 3, 4, 6, 8, 12]
    times = np.unique(np.r_[early, np.linspace(0, study.until, 61)])
    problem, failures = study.lay_out(patients, outputs=outputs, times=times)
    assert failures == {}
    states, _ = system.vectors(model.values)
    start = problem.parameters.copy()
    start[:, system.parameters.index("MN_hcy_ref")] = model.values["MN_hcy_ref"]
    job = {
        "plan": {"boluses": problem.plan.boluses, "settings": [plain_setting(s) for s in problem.plan.settings]},
        "start": 0.0,
        "end": problem.end,
        "rtol": problem.rtol,
        "times": problem.times.tolist(),
        "outputs": outputs,
        "parameters": problem.parameters.ravel().tolist(),
        "initial": problem.initial.ravel().tolist(),
        "doseScale": problem.dose_scale.ravel().tolist(),
        "rest": start.ravel().tolist(),
        "from": np.tile(states, len(start)).tolist(),
    }
    return job, problem, get_engine("fast").solve(problem)


def test_every_output_of_the_experiments_regimens_equals_the_native_engine_and_so_does_rest(browser):
    made = [kernel_run(text, until) for text, until in REGIMENS]
    (answers,) = browser({"work": "kernel", "runs": [job for job, _, _ in made]})
    for (text, _), (_, problem, native), answer in zip(REGIMENS, made, answers, strict=True):
        assert answer["status"] == [0] * len(problem.initial), text
        values = np.array(answer["values"], dtype=float).reshape(native.values.shape)
        # what is less than a part in 1e9 of the largest of its unit is nothing: a net flux at rest is rounding
        size, units = np.abs(native.values).max(axis=1, keepdims=True), problem.equations.units
        for unit in {units.get(name) for name in problem.outputs}:
            same = [units.get(name) == unit for name in problem.outputs]
            size[..., same] = np.maximum(size[..., same], 1e-9 * size[..., same].max())
        apart = (np.abs(values - native.values) / size).max(axis=(0, 1))
        assert apart.max() < CLOSE, (text, problem.outputs[int(apart.argmax())], apart.max())
        final = np.array(answer["final"], dtype=float).reshape(native.final.shape)
        np.testing.assert_allclose(final, native.final, rtol=CLOSE, atol=1e-15, err_msg=text)
        # rest is sought to a residual; the levels it leaves agree as far as the slowest store lets them
        rest = np.array(answer["rest"], dtype=float).reshape(problem.initial.shape)
        np.testing.assert_allclose(rest, problem.initial, rtol=CLOSE, atol=1e-12, err_msg=text)


def test_bodies_start_from_the_same_numbers_as_in_the_package(browser):
    (latent,) = browser({"work": "normals", "count": 1000})
    expected = normals(1000, len(BODY), SEED)
    np.testing.assert_allclose(np.reshape(latent, expected.shape), expected, rtol=1e-12, atol=1e-12)


class Recorder:
    """A numpy generator that writes down every number it gives."""

    def __init__(self, seed):
        self.rng, self.log = np.random.default_rng(seed), []

    def _kept(self, kind, values):
        self.log.append([kind, np.ravel(values).tolist()])
        return values

    def standard_normal(self, size=None):
        return self._kept("normals", self.rng.standard_normal(size))

    def integers(self, high, size):
        return self._kept("integers", self.rng.integers(high, size=size))

    def random(self, size):
        return self._kept("uniforms", self.rng.random(size))

    def standard_exponential(self, size):
        return self._kept("exponentials", self.rng.standard_exponential(size))

    def exponential(self, scale, size):
        return self._kept("exponentials", self.rng.exponential(scale, size))

    def permutation(self, block):
        return self._kept("permutation", self.rng.permutation(block))


def test_a_trial_on_the_same_draws_has_the_same_patients_ratings_and_statistics(browser, inside, patient):
    size, maximum = 24, 0.6
    design = read_design("jetals")
    pool = make_pool(patient, design, 0.2, drawn=bodies(patient, size, SEED), seed=SEED)
    doses = plan(Regimen.parse(design.arms[1].regimen).until(2856.0), 0.0, 2856.0).boluses
    kept = np.random.default_rng([SEED, 77]).random((len(pool.bodies.people), len(doses))) >= design.missed_doses
    # the page's pool keeps the implausible bodies in place
    drawn = Generator.of(patient).bodies(normals(size, len(BODY), SEED))
    whole = np.ones((size, len(doses)))
    whole[np.isin(drawn["age"], pool.bodies.people["age"])] = kept
    recorder = Recorder(11)
    trial = simulate_trial(pool, design, maximum, recorder)
    form = next(d for d in inside[0]["trial"]["designs"] if d["id"] == "jetals")
    job = {"work": "trial", "design": form, "beta": 0.2, "size": size, "kept": whole.tolist(), "log": recorder.log}
    (answer,) = browser(job | {"maximum": maximum})
    people = pool.bodies.people
    for name in ("age", "weight", "fvc", "GFR_rel", "CBL_CLf", "central", "hcy_plasma", "cbl_plasma"):
        column = np.array(answer["columns"][name])[answer["usable"]]
        np.testing.assert_allclose(column, people[name].to_numpy()[pool.usable], rtol=CLOSE, err_msg=name)
    for name in ("homocysteine", "direct"):
        mine = np.array(answer[name], dtype=float).reshape(size, -1)[answer["usable"]]
        np.testing.assert_allclose(mine, getattr(pool.slowings[1], name)[pool.usable], rtol=CLOSE, atol=1e-6)
    quick = np.array(answer["quick"], dtype=float).reshape(size, -1)[answer["usable"]]
    np.testing.assert_allclose(quick, pool.slowings[1].homocysteine[pool.usable], rtol=1e-5, atol=1e-3)
    for name in ("MN_k", "entry_rating", "baseline_rating", "drop", "motor_units", "onset_months", "genotype", "onset"):
        mine = answer["people"][name]
        if isinstance(mine[0], str):
            assert mine == trial.people[name].tolist()
        else:
            np.testing.assert_allclose(mine, trial.people[name], rtol=CLOSE, err_msg=name)
    assert answer["arm"] == trial.arm.tolist()
    assert answer["candidates"] == trial.counts["candidates"]
    shape = trial.rated.shape
    np.testing.assert_array_equal(np.array(answer["rated"], dtype=float).reshape(shape), trial.rated)
    np.testing.assert_allclose(np.array(answer["truth"]).reshape(shape), trial.true_score, rtol=CLOSE)
    np.testing.assert_allclose(answer["time"], trial.event_months, rtol=CLOSE)
    assert answer["event"] == trial.event.tolist()
    analyses = ("mmrm", "ancova", "survival")
    for column, value in analyse(trial, analyses).items():
        name, contrast, *key = column.split(":")
        if key and np.isfinite(value):
            assert answer[name][contrast][key[0]] == pytest.approx(value, rel=CLOSE, abs=1e-10), column


def test_distributions_and_survival_statistics_equal_scipy_and_the_package(browser):
    points, expected = [], []

    def add(value, name, *arguments):
        points.append([name, *arguments])
        expected.append(value)

    for z in (-8.0, -3.1, -0.4, 0.0, 0.7, 2.5, 6.0):
        add(stats.norm.cdf(z), "normalCdf", z)
        for df in (2.3, 7.0, 118.4):
            add(stats.t.sf(z, df), "tTail", z, df)
    for p in (1e-10, 0.01, 0.3, 0.5, 0.9, 1 - 1e-9):
        add(stats.norm.ppf(p), "normalQuantile", p)
    for df in (1.5, 4.0, 30.0, 121.7):
        add(stats.t.ppf(0.975, df), "tQuantile", 0.975, df)
    for hits, count in ((0, 20), (3, 400), (400, 400), (57, 100)):
        low, high = stats.binomtest(hits, count).proportion_ci()
        add([low, high], "shareInterval", hits, count)
    values = np.random.default_rng(2).normal(size=37).tolist()
    add(np.quantile(values, 0.1), "quantile", values, 0.1)
    (answers,) = browser({"work": "statistics", "points": points})
    for point, mine, value in zip(points, answers, expected, strict=True):
        assert mine == pytest.approx(value, rel=1e-10, abs=1e-15), point


def test_choices_mean_the_doses_and_values_that_the_package_gives_them(browser, inside, patient):
    shown, _ = inside
    per = {c["id"]: c for c in shown["controls"]}
    rng = np.random.default_rng(5)
    list_ = [
        {
            "dose": float(rng.choice([0.5, 5.0, 5.5, 25.0, 50.0])),
            "interval": float(rng.choice([1.0, 3.5, 7.0, 28.0])),
            "route": str(rng.choice(["im", "sc", "iv", "oral"])),
            "weeks": int(rng.integers(1, 30)),
        }
        for _ in range(20)
    ]
    list_ += [{"folate": "supplement"}, {"b6": "supplement"}, {"betaine": 3}, {"methionine": 7, "dose": 0, "weeks": 1}]
    (answers,) = browser({"work": "choices", "list": list_})
    for choices, answer in zip(list_[:20], answers, strict=False):
        end = choices["weeks"] * 168.0
        count = int(np.ceil(end / (24 * choices["interval"]) - 1e-9))
        text = f"{choices['dose']} mg methylcobalamin {choices['route']} every {choices['interval']} d x {count}"
        expected = plan(Regimen.parse(text), 0.0, end).boluses
        assert [b[:2] for b in answer["boluses"]] == [list(b[:2]) for b in expected]
        np.testing.assert_allclose([b[2] for b in answer["boluses"]], [b[2] for b in expected], rtol=1e-12)
    for answer, text in zip(
        answers[20:23], ("0.8 mg/d folic acid", "50 mg/d pyridoxine", "3 g/d betaine"), strict=True
    ):
        (hold,) = Regimen.parse(text).holds
        assert answer["supplies"] == {hold.parameter: pytest.approx(hold.value, rel=1e-12)}
    assert answers[23]["boluses"] == [[0, "met_gut", pytest.approx(7e6 / 149.21)]]
    # the loss rate is the one at which the typical person loses the chosen points in 16 weeks
    set_ = answers[0]["set"]
    run = simulate(
        patient.with_values(MN_k=set_["MN_k"], motor_units=set_["motor_units"]),
        None,
        "16 weeks",
        outputs=["alsfrs_r"],
        patients={"MN_hcy_ref": [patient.values["MN_hcy_ref"]]},
        own_baseline=OWN_BASELINE,
    )
    score = run["alsfrs_r"].values[0]
    lost = float(score[0] - score[-1])
    assert float(score[0]) == pytest.approx(per["baseline"]["default"], rel=1e-9)
    assert lost == pytest.approx(per["progression"]["default"] * 16 * 168 / 730.5, rel=1e-6)


def test_the_person_is_the_one_that_simulate_gives(in_chromium, patient, inside):
    shown, _ = inside
    (view,) = in_chromium(
        {"work": "view", "choices": {"weeks": 6, "b12": "deficient", "gfr": 60, "folate": "supplement"}}
    )
    scenario = next(s for s in shown["scenarios"] if s["id"] == "pooled")
    person = patient.with_set("b12_deficient").with_values(
        GFR_rel=0.6, MN_beta_hcy=scenario["beta_hcy"], MN_Emax=scenario["ends"][1]
    )
    (answers,) = in_chromium({"work": "choices", "list": [{}]})
    person = person.with_values(MN_k=answers[0]["set"]["MN_k"], motor_units=answers[0]["set"]["motor_units"])
    # daily capsules against the page's steady supply of as much
    text = "50 mg im every 3.5 d x 12 + 0.4 mg folic acid oral every 12 h x 84"
    run = simulate(
        person,
        text,
        "6 weeks",
        outputs=["hcy_plasma", "alsfrs_r", "cbl_plasma", "mma_plasma"],
        patients={"MN_hcy_ref": [person.values["MN_hcy_ref"]]},
        own_baseline=OWN_BASELINE,
        times=[0.0, 6 * 168.0],
    )
    for name, factor in (("hcy_plasma", 1.0), ("alsfrs_r", 1.0), ("cbl_plasma", 1e3), ("mma_plasma", 1e3)):
        ours = factor * run[name].values[0]
        assert view["curves"][name]["with"][-1] == pytest.approx(float(ours[-1]), rel=5e-3), name
    assert view["draws"] == 16
