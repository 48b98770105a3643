"""An engine that writes where it should only read, to show that the memory is shared."""


def create(options):
    return Runner()


class Runner:
    def describe(self):
        return {}

    def build(self, graph, weights, constants):
        return Loaded(weights)


class Loaded:
    def __init__(self, weights):
        self.report = {}
        self.weights = weights

    def __call__(self, inputs, outputs):
        for weight in self.weights:
            weight += 1

    def close(self):
        pass
