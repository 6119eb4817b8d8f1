"""Times the queries of bench_test.go with dp_accounting and prv_accountant."""
import logging
import time
import warnings

warnings.filterwarnings("ignore")
logging.disable(logging.CRITICAL)
import dp_accounting as dpa
from dp_accounting import pld, rdp


def timed(name, call):
    start = time.perf_counter()
    value = call()
    print(f"{name}: {time.perf_counter() - start:.4f} s, epsilon {value:.6f}")


def event(steps):
    return dpa.SelfComposedDpEvent(dpa.PoissonSampledDpEvent(0.005, dpa.GaussianDpEvent(1.2)), steps)


def query(accountant, steps):
    accountant.compose(event(steps))
    return accountant.get_epsilon(1e-7)


for steps in (1000, 100_000):
    timed(f"dp_accounting RDP {steps}", lambda: query(rdp.RdpAccountant(), steps))
    timed(f"dp_accounting PLD {steps}", lambda: query(pld.PLDAccountant(), steps))
try:
    from prv_accountant import PRVAccountant, PoissonSubsampledGaussianMechanism

    def prv(steps):
        mechanism = PoissonSubsampledGaussianMechanism(noise_multiplier=1.2, sampling_probability=0.005)
        accountant = PRVAccountant(prvs=[mechanism], max_self_compositions=[steps], eps_error=0.1, delta_error=1e-10)
        return accountant.compute_epsilon(delta=1e-7, num_self_compositions=[steps])[2]

    for steps in (1000, 100_000):
        timed(f"prv_accountant {steps}", lambda: prv(steps))
except ImportError:
    pass
