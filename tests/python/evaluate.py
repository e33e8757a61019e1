"""What real Keras makes of models that nearside trained: python evaluate.py MODEL X Y, with X and Y as .npy files.

Prints the loss and the metrics of the samples, as the file says they are to be."""

import json, os, sys

os.environ.update(TF_CPP_MIN_LOG_LEVEL="3", CUDA_VISIBLE_DEVICES="-1")
import keras, numpy as np

model = keras.models.load_model(sys.argv[1])
x, y = np.load(sys.argv[2]), np.load(sys.argv[3])
print(json.dumps(model.evaluate(x, y, batch_size=256, verbose=0, return_dict=True)))
