"""As much of pyspark as the driver wants, in one process: every task runs twice at a time, and its second result counts."""

from concurrent.futures import ThreadPoolExecutor


class SparkContext:
    def __init__(self, appName):
        self.appName = appName

    def parallelize(self, numbers, partitions):
        assert len(numbers) == partitions, "one task for each step"
        return Steps([[n] for n in numbers])

    def stop(self):
        pass


class Steps:
    def __init__(self, partitions, function=None):
        self.partitions, self.function = partitions, function

    def mapPartitions(self, function):
        return Steps(self.partitions, function)

    def collect(self):
        with ThreadPoolExecutor(2) as pool:
            twice = pool.map(lambda p: list(self.function(iter(p))), [p for p in self.partitions for _ in range(2)])
            return [x for result in list(twice)[1::2] for x in result]
