"""Small models, each with a construct of its own: Antimony text, end of a run, and parameters to vary."""

MODELS = {
    "chain": (
        "S1 = 10; S2 = 1; S3 = 0; k1 = 0.3; k2 = 0.2; J1: S1 -> S2; k1*S1; J2: S2 -> S3; k2*S2",
        10.0,
        ("k1", "k2"),
    ),
    "enzyme": (
        "S = 5; E = 1; ES = 0; P = 0; kf = 2; kr = 1; kc = 0.7; J1: S + E -> ES; kf*S*E - kr*ES;J2: ES -> E + P; kc*ES",
        8.0,
        ("kf", "kc"),
    ),
    "volumes": (
        "compartment c1 = 2; compartment c2 = 0.5; species A in c1 = 3; species B in c2 = 0.1; k = 0.4; q = 0.1;"
        "J1: A -> B; k*A; J2: B -> A; q*B",
        12.0,
        ("k", "c2"),
    ),
    "amounts": (
        "compartment c = 3; substanceOnly species A in c = 6; species B in c = 0.5; k = 0.2; J: A -> 2 B; k*A",
        10.0,
        ("k", "c"),
    ),
    "rate rule": ("x = 2; y = 1; a = 1.1; b = 0.4; x' = a*x - b*x*y; y' = 0.1*x*y - 0.4*y", 15.0, ("a", "b")),
    "negative": (
        "V = -1; W = 0.2; I = 0.5; e = 0.08; V' = V - V^3/3 - W + I; W' = e*(V + 0.7 - 0.8*W)",
        30.0,
        ("I", "e"),
    ),
    "assigned": (
        "A = 1; B = 0; T := A + 2*B; k = 0.5; v = 1.5; K = 0.3; J1: -> A; v*K/(K + T); J2: A -> B; k*A;"
        "J3: B -> ; 0.2*B",
        20.0,
        ("k", "K"),
    ),
    "computed start": ("k = 0.3; n = 4; A = n*k + 1; B = 2*A; J1: A -> B; k*A; J2: B -> ; 0.1*B", 10.0, ("k", "n")),
    "driven": ("A = 1; k = 0.5; w = 0.8; J1: -> A; 1 + sin(w*time); J2: A -> ; k*A", 20.0, ("k", "w")),
    "function": (
        "function hill(x, K, n) x^n/(K^n + x^n); end;"
        "model m; $X = 2; A = 0.1; B = 0; v = 1; K = 0.6; J1: X -> A; v*hill(B + 0.3, K, 3); J2: A -> B; 0.4*A;"
        "J3: B -> ; 0.3*B; end",
        20.0,
        ("v", "K"),
    ),
    "repressilator": (
        "a = 216; a0 = 0.2; n = 2; b = 5; m1 = 0; m2 = 0; m3 = 0; p1 = 5; p2 = 0; p3 = 15;"
        "m1' = a/(1 + p3^n) + a0 - m1; m2' = a/(1 + p1^n) + a0 - m2; m3' = a/(1 + p2^n) + a0 - m3;"
        "p1' = b*(m1 - p1); p2' = b*(m2 - p2); p3' = b*(m3 - p3)",
        20.0,
        ("a", "b"),
    ),
}

#: The same with jumps: sensitivities along the solution are refused for these.
JUMPS = {
    "timed": ("S = 10; k = 0.3; J: S -> ; k*S; E: at time > 4: S = S + 5", 10.0, ("k",)),
    "threshold": ("S = 0.1; N = 0; c = 1; J: -> S; c; E: at S > 1: S = 0, N = N + 1", 9.7, ("c",)),
    "switch": ("A = 0; k = 0.7; J1: -> A; piecewise(2, time < 3, 0.5); J2: A -> ; k*A", 8.0, ("k",)),
}
