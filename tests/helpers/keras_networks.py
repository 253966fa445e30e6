"""Keras networks and layers of one's own, as a user writes them."""

from __future__ import annotations

import collections
from typing import Any

import keras
import numpy as np
import tensorflow as tf


class Block(keras.layers.Layer):
    """A layer of one's own with layers in it, that returns a dict."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.conv = keras.layers.Conv2D(5, 3, name="conv")

    def call(self, x):
        y = self.conv(x)
        return {"plain": y, "double": 2 * y}


class Own(keras.Model):
    """Subclassed; the block is called twice."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.stem = keras.layers.Conv2D(5, 3, name="stem")
        self.block = Block(name="block")
        self.pair = Pair(name="pair")
        self.head = keras.layers.Dense(4, name="head")

    def call(self, x):
        x = self.stem(x)
        x = self.block(self.block(x)["double"])["plain"]
        first, second = self.pair(x)
        return self.head(keras.ops.mean(first + second, axis=(1, 2)))


class Pair(keras.layers.Layer):
    def call(self, x):
        return x + 1, x - 2


class Stubborn(Own):
    """Looks at values, which no graph can follow."""

    def call(self, x):
        x = self.stem(x)
        if float(keras.ops.convert_to_numpy(x).max()) > -1e9:
            x = x * 3
        x = self.block(x)["plain"]
        return self.head(keras.ops.mean(self.block(x)["plain"], axis=(1, 2)))


class Limited(keras.layers.Layer):
    """Holds so many images and no more."""

    limit = 2

    def call(self, x):
        if len(x) > self.limit and len(x) != 3:  # 3 is the size at which layers are listed
            raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor")
        return x + 1


class Times(keras.layers.Layer):
    def __init__(self, factor: float, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.factor = factor

    def call(self, x):
        return self.factor * x


class TimesAndMore(Times):
    def call(self, x):
        return self.factor * x + 1


SCALE = 1.0
TABLE = {"k": [1.0]}


class Holder(keras.layers.Layer):
    """Holds values of every kind, and reads some of this module."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.number, self.text, self.nothing = 1.0, "sin", None
        self.list, self.dict = [1.0, 2.0], {"a": 1, "b": {"c": [2]}}
        self.set, self.tuple = {1, 2}, (1, (2,))
        self.ordered, self.array = collections.OrderedDict(a=1), np.ones(3)
        self.held = Held()

    def call(self, x):
        return x * self.number * SCALE * TABLE["k"][0]


class Held:
    k = 1.0
