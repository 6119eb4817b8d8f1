"""Adds the reports of one round on a Spark cluster: README.md tells how to submit it.

Spark carries nothing but the numbers of steps and the lines that steps print: reports and sums go from the store
to "veilsum batch step" and back. A step that runs again, or twice at a time, makes the same bytes, so Spark's
retries need no care. The last line of standard output is the result, as "veilsum batch run --json" prints it.
"""

import argparse
import json
import os
import subprocess
import sys


def flags():
    p = argparse.ArgumentParser(description="Adds the reports of one round on a Spark cluster.")
    p.add_argument("--epoch", required=True, help="epoch of the round")
    p.add_argument("--lane", default="0", help="lane of the round")
    p.add_argument("--fan-in", default="256", help="most inputs of a step: choose it so that a step takes 10 s or more")
    for name, what in (("store", "file:DIR or s3://..."), ("task", "TaskID"), ("owner", "public key of the privacy owner, hexadecimal")):
        default = os.environ.get("VEILSUM_" + name.upper())
        p.add_argument("--" + name, default=default, required=not default, help=f"{what} (VEILSUM_{name.upper()})")
    p.add_argument("--workers", default="1", help="goroutines of a step: as many as spark.task.cpus")
    p.add_argument("--program", default="veilsum", help="veilsum on the driver and on every worker")
    return p.parse_args()


def call(program, verb, args):
    """Runs a verb of veilsum and returns its answer. It may have refused reports, which the answer lists."""
    ran = subprocess.run([program, "batch", verb, *args, "--json"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
    said = [json.loads(line) for line in ran.stdout.splitlines()]
    answers = [x for x in said if x.get("type") == "result"]
    if ran.returncode not in (0, 3) or len(answers) != 1:
        raise RuntimeError(f"veilsum batch {verb} {' '.join(args)}: exit status {ran.returncode}: {ran.stdout[-2000:]}")
    return answers[0]


def runner(program, args):
    """What a worker does with the numbers of steps; it is all that Spark has to pickle."""
    return lambda steps: [call(program, "step", [*args, "--index", str(n)]) for n in steps]


def want(what, got, wanted):
    if got != wanted:
        raise RuntimeError(f"{what}: {got}, the plan has {wanted}")


def add(sc, opt):
    where = [f"--{name}={getattr(opt, name)}" for name in ("store", "task", "owner", "epoch", "lane")]
    plan = call(opt.program, "plan", [*where, f"--fan-in={opt.fan_in}"])
    done, inputs = [], []
    for level, count in enumerate(plan["levels"], start=1):
        step = runner(opt.program, [*where, f"--plan={plan['plan']}", f"--level={level}", f"--workers={opt.workers}"])
        ran = sc.parallelize(range(count), count).mapPartitions(step).collect()  # one task for each step
        want(f"level {level}: steps", sorted(x["index"] for x in ran), list(range(count)))
        want(f"level {level}: plan and level", {(x["plan"], x["level"]) for x in ran}, {(plan["plan"], level)})
        inputs.append(sum(x["inputs"] for x in ran))
        done += ran
    want("reports read", inputs[0], plan["reports"])
    want("partial sums read", sum(inputs[1:]), len(done) - 1)  # each but the last, once
    root = next(x for x in done if x["step"] == plan["root"])
    want("reports added or refused", root["reports"] + len(root["refused"]), plan["reports"])
    return {"type": "result", "plan": plan["plan"], "steps": len(done), "found": sum(x["found"] for x in done)} | {
        k: root[k] for k in ("reports", "refused", "partial", "sha256", "bytes")
    }


def main():
    opt = flags()
    from pyspark import SparkContext  # after the flags: help needs no Spark

    sc = SparkContext(appName=f"veilsum round {opt.epoch}-{opt.lane}")
    try:
        result = add(sc, opt)
    finally:
        sc.stop()
    print(json.dumps(result), flush=True)
    return 3 if result["refused"] else 0  # as veilsum does


if __name__ == "__main__":
    sys.exit(main())
