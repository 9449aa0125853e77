"""Write the made-up people of survival.json; survival.R and survival_packages.py add to it.

Run in this folder, in this order::

    python survival_data.py        # numpy alone
    Rscript survival.R             # R with the packages survival and jsonlite
    python survival_packages.py    # an environment with scikit-survival and torchsurv
"""

import json

import numpy as np


def people(rng, n, *, censoring, grid=None, causes=True):
    """Weibull times with two causes; `grid` rounds them up, so that times are tied."""
    x = rng.normal(size=n)
    scale = 900 * np.exp(-0.7 * x / 1.3)
    first = scale * rng.weibull(1.3, n)
    other = rng.exponential(2600, n) if causes else np.full(n, np.inf)
    lost = rng.exponential(censoring, n) if np.isfinite(censoring) else np.full(n, np.inf)
    time = np.minimum(np.minimum(first, other), lost)
    cause = np.select([time == first, time == other], [1, 2], 0)
    risk = 0.6 * x + 0.8 * rng.normal(size=n)
    if grid is not None:
        time, risk = np.ceil(time / grid), np.round(risk, 1)
    return time, cause, risk, x


def dataset(seed, n, m, times, tau, *, unit=1.0, **options):
    rng = np.random.default_rng(seed)
    time, cause, risk, x = people(rng, n, **options)
    train_time, train_cause, _, _ = people(rng, m, **options)
    shape = 1.3 * np.exp(0.1 * rng.normal(size=n))
    scale = 1000 * np.exp(-0.6 * x / 1.3)
    at = np.asarray(times) * unit
    survival = np.exp(-((at[None, :] / scale[:, None]) ** shape[:, None]))
    return {
        "time": np.round(time, 3).tolist(),
        "event": (cause == 1).astype(int).tolist(),
        "cause": cause.tolist(),
        "risk": np.round(risk, 4).tolist(),
        "group": np.digitize(x, [-0.5, 0.5]).tolist(),
        "train_time": np.round(train_time, 3).tolist(),
        "train_event": (train_cause == 1).astype(int).tolist(),
        "times": list(times),
        "survival": np.round(survival, 5).tolist(),
        "horizon": times[1],
        "tau": tau,
    }


DATA = {
    "plain": dataset(1, 120, 150, [200.5, 450.5, 700.5, 1000.5], 1200.5, censoring=2000),
    # Horizons lie between the whole numbers that the tied times are.
    "ties": dataset(2, 150, 180, [2.5, 5.5, 8.5, 11.5], 12.5, censoring=2500, grid=90, unit=90.0),
    "heavy": dataset(3, 200, 220, [60.5, 120.5, 200.5, 300.5], 330.5, censoring=180),
    "none": dataset(
        4, 60, 80, [200.5, 450.5, 700.5, 1000.5], 1200.5, censoring=np.inf, causes=False
    ),
}

if __name__ == "__main__":
    with open("survival.json", "w") as file:
        json.dump({"data": DATA}, file)
