"""Writes onestep.json: epsilon of one step of a Poisson-sampled Gaussian."""
import json
import random

import mpmath as mp

mp.mp.dps = 30


def delta(eps, q, s, remove):
    """Hockey-stick divergence of ((1-q)N(0)+qN(1), N(0)), or of the reverse."""
    cdf = lambda x, mean: mp.ncdf((x - mean) / s)
    ratio = (mp.e ** (eps if remove else -eps) - 1 + q) / q
    if ratio <= 0:
        return mp.mpf(0)
    x = (mp.log(ratio) * 2 * s * s + 1) / 2
    if remove:
        return (1 - q) * (1 - cdf(x, 0)) + q * (1 - cdf(x, 1)) - mp.e**eps * (1 - cdf(x, 0))
    return cdf(x, 0) - mp.e**eps * ((1 - q) * cdf(x, 0) + q * cdf(x, 1))


def epsilon(target, q, s):
    over = lambda eps: max(delta(eps, q, s, True), delta(eps, q, s, False)) > target
    low, high = mp.mpf(0), mp.mpf(1)
    if not over(low):
        return low
    while over(high):
        high *= 2
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if over(middle) else (low, middle)
    return high


draw = random.Random(5)
cases = []
for _ in range(40):
    q, s, d = float(mp.mpf(10) ** draw.uniform(-5, -0.1)), draw.uniform(0.3, 5), float(mp.mpf(10) ** draw.uniform(-16, -4))
    cases.append({"q": q, "s": s, "delta": d, "eps": float(epsilon(mp.mpf(d), mp.mpf(q), mp.mpf(s)))})
text = ",\n".join("  " + json.dumps(c) for c in cases)
source = "one step of a Poisson-sampled Gaussian under add_remove, by halving on the hockey-stick divergence of both directions, mpmath 1.4.1 at 30 digits (onestep.py)"
open("onestep.json", "w").write('{\n "source": "%s",\n "cases": [\n%s\n ]\n}\n' % (source, text))
