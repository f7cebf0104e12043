"""Your own data: a function that returns inputs (n, channels, height, width) and labels (n,).

The same from the command line: nascore search --plugin amoebanet --data examples/own_data.py:my_data
"""

import nascore


def my_data():
    from sklearn.datasets import load_digits

    digits = load_digits()
    return digits.images[:, None] / 16, digits.target % 2  # odd or even


if __name__ == "__main__":
    result = nascore.search("amoebanet", data=my_data, trials=3)
    print(result, result.search.data.task)
