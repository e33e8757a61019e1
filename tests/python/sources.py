"""The models that go through nearside: fixtures that other tools saved, and scikit-learn's networks, trained here."""

import base64, glob, os, warnings

import numpy as np
from skl2onnx import to_onnx
from sklearn.datasets import load_breast_cancer, load_diabetes, load_wine
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

# How well they have learnt is of no importance here.
warnings.filterwarnings("ignore", "Stochastic Optimizer")
FIXTURES = os.path.abspath(f"{os.path.dirname(__file__)}/../fixtures")


class Source:
    """A model's file, inputs by name ('' where there is one), and what another tool answers, where that is known:
    arrays in the order of the model's outputs, or for a classifier its labels and probabilities."""

    def __init__(self, name, path, inputs, outputs=None, labels=None, names=None):
        self.name, self.path, self.inputs = name, path, inputs
        self.outputs, self.labels, self.names = outputs, labels, names

    def job(self):
        encode = lambda x: base64.b64encode(np.ascontiguousarray(x, np.float32).tobytes()).decode()
        return {"name": self.name, "source": self.path, "inputs": {n: encode(x) for n, x in self.inputs.items()}}


def all_sources(folder):
    return [*keras_files(), *onnx_files(folder), *trained(folder)]


def keras_files():
    """Every fixture of Keras's that holds a whole model and comes with Keras's answers. Of large ones, some rows."""
    for recorded in sorted(glob.glob(f"{FIXTURES}/*.io.npz")):
        base = recorded.removesuffix(".io.npz")
        path = next((base + ending for ending in (".keras", ".h5") if os.path.exists(base + ending)), None)
        if path is None:
            continue
        arrays = dict(np.load(recorded))
        part = lambda kind: {n.split(":", 1)[1]: x[:8] for n, x in arrays.items() if n.startswith(kind)}
        # Keras 3.15's sparsemax is none, so that the paper's answers were recorded.
        outputs = {n: x for n, x in part("out:").items()}
        yield Source(os.path.basename(base), path, part("in:"), None if "sparsemax" in outputs else list(outputs.values()))


def onnx_files(folder):
    """The models in the archives of ONNX's fixtures (`onnx_archive.py` there says how they are kept)."""
    for archive in sorted(glob.glob(f"{FIXTURES}/onnx/*_cases.npz")):
        arrays = np.load(archive)
        models, values = arrays["models"].tobytes(), arrays["values"]
        for line in arrays["cases"].tobytes().decode().splitlines():
            name, size, *fields = line.split("\t")
            model, models = models[: int(size)], models[int(size) :]
            inputs, refused = {}, False
            for key, value in zip(fields[::2], fields[1::2]):
                refused |= key == "error"
                if key.startswith(("in:", "out:")):
                    part, values = values[: int(value)], values[int(value) :]
                    if key.startswith("in:"):
                        inputs[key[3:]] = part
            if refused:
                continue
            path = f"{folder}/{name}.onnx"
            with open(path, "wb") as file:
                file.write(model)
            yield Source(name, path, inputs)


def trained(folder):
    """Pipelines as scikit-learn's users have them, exported with probabilities by class name and in columns."""
    for name, load, network in (
        ("wine", load_wine, MLPClassifier(hidden_layer_sizes=(12, 8), max_iter=300, random_state=1)),
        ("breast_cancer", load_breast_cancer, MLPClassifier(hidden_layer_sizes=(8,), activation="tanh", max_iter=300, random_state=1)),
        ("diabetes", load_diabetes, MLPRegressor(hidden_layer_sizes=(8,), max_iter=300, random_state=1)),
    ):
        data = load()
        x = data.data.astype(np.float32)
        classifies = "target_names" in data
        y = data.target_names[data.target] if classifies else data.target
        pipeline = make_pipeline(StandardScaler(), network).fit(x, y)
        x = x[::13]
        if not classifies:
            yield exported(f"{folder}/{name}", pipeline, x, outputs=[pipeline.predict(x)[:, None]])
            continue
        labels, probabilities = pipeline.predict(x), pipeline.predict_proba(x)
        names = [str(name) for name in pipeline.classes_]
        answers = {"labels": list(map(str, labels)), "outputs": [probabilities]}
        yield exported(f"{folder}/{name}_zipmap", pipeline, x, {"zipmap": True}, names=names, **answers)
        yield exported(f"{folder}/{name}_columns", pipeline, x, {"zipmap": False}, **answers)


def exported(path, pipeline, x, options=None, **answers):
    options = options and {id(pipeline): options}
    with open(f"{path}.onnx", "wb") as file:
        file.write(to_onnx(pipeline, x[:1], options=options).SerializeToString())
    return Source(os.path.basename(path), f"{path}.onnx", {"": x}, **answers)
