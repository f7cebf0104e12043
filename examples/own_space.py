"""Your own search space: one function that decides and builds.

The same from the command line: nascore search --space examples/own_space.py:my_space --data digits
"""

from torch import nn

import nascore


@nascore.search_space
def my_space(choose, task):
    width = choose("width", [8, 16, 32])
    layers = [nn.Conv2d(task.channels, width, 3, padding=1), nn.ReLU()]
    for i in range(choose("depth", [1, 2, 3])):
        kernel = choose(f"kernel_{i}", [1, 3, 5])
        layers += [nn.Conv2d(width, width, kernel, padding=kernel // 2), nn.BatchNorm2d(width), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, task.classes))


if __name__ == "__main__":
    result = nascore.search("amoebanet", space=my_space, data="digits", trials=6, constraints=["params<=20k"])
    print(result.best.architecture.genome, dict(result.best.objectives))
    print(result.trials[["trial", "status", "accuracy", "params"]])
