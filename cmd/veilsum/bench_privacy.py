"""Answers "veilsum bench privacy": a line names a query, the answer is its processor time in seconds and epsilon."""
import logging
import sys
import time
import warnings

warnings.filterwarnings("ignore")
logging.disable(logging.CRITICAL)
import dp_accounting
from dp_accounting import pld, rdp

STEPS, PROBABILITY, NOISE, DELTA = 100_000, 0.005, 1.2, 1e-7


def composed(accountant):
    step = dp_accounting.PoissonSampledDpEvent(PROBABILITY, dp_accounting.GaussianDpEvent(NOISE))
    accountant.compose(dp_accounting.SelfComposedDpEvent(step, STEPS))
    return accountant.get_epsilon(DELTA)


def prv():
    import prv_accountant

    mechanism = prv_accountant.PoissonSubsampledGaussianMechanism(noise_multiplier=NOISE, sampling_probability=PROBABILITY)
    accountant = prv_accountant.PRVAccountant(prvs=[mechanism], max_self_compositions=[STEPS], eps_error=0.1, delta_error=1e-10)
    return accountant.compute_epsilon(delta=DELTA, num_self_compositions=[STEPS])[2]


QUERIES = {"rdp": lambda: composed(rdp.RdpAccountant()), "pld": lambda: composed(pld.PLDAccountant()), "prv": prv}

for line in sys.stdin:
    before = time.process_time()
    try:
        epsilon = QUERIES[line.strip()]()
        print(time.process_time() - before, epsilon, flush=True)
    except Exception as err:  # for instance an accountant that is not installed
        print("failed", type(err).__name__, str(err).replace("\n", " "), flush=True)
