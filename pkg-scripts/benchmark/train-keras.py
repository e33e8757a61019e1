"""Trains the network on MNIST in Keras, an epoch for each line that comes: python train-keras.py DATA BATCH.

Answers each with the seconds the epoch took and what the test set then gives."""

import json, os, sys, time

os.environ.update(TF_CPP_MIN_LOG_LEVEL="3", CUDA_VISIBLE_DEVICES="-1")
import keras, numpy as np

DATA, BATCH = sys.argv[1], int(sys.argv[2])


def read(name, header):
    return np.fromfile(f"{DATA}/{name}", np.uint8)[header:]


x, y = read("train-images-idx3-ubyte", 16).reshape(-1, 784).astype("float32") / 255, read("train-labels-idx1-ubyte", 8)
x_test, y_test = read("t10k-images-idx3-ubyte", 16).reshape(-1, 784).astype("float32") / 255, read("t10k-labels-idx1-ubyte", 8)
keras.utils.set_random_seed(1)
dense = keras.layers.Dense
model = keras.Sequential([keras.Input([784]), dense(128, "relu"), dense(128, "relu"), dense(10, "softmax")])
model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
model.fit(x[: 10 * BATCH], y[: 10 * BATCH], batch_size=BATCH, verbose=0)  # what is traced once
for _ in sys.stdin:
    start = time.perf_counter()
    history = model.fit(x, y, batch_size=BATCH, epochs=1, verbose=0)
    seconds = time.perf_counter() - start
    loss, accuracy = model.evaluate(x_test, y_test, verbose=0)
    print(json.dumps({"time": 1000 * seconds, "loss": history.history["loss"][0], "accuracy": accuracy}), flush=True)
