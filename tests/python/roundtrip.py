"""Models through nearside and back: python roundtrip.py PACKAGE SAVED.

nearside loads what Keras, ONNX's tests and scikit-learn saved, and saves it in every format. Then Keras 3, Keras 2, ONNX
Runtime and safetensors load that, and have to answer as nearside does, and as the tool that made the model did. SAVED
holds models that nearside's own tests saved, with layers that come from no file."""

import base64, json, os, re, subprocess, sys, tempfile, warnings

os.environ.update(TF_CPP_MIN_LOG_LEVEL="3", CUDA_VISIBLE_DEVICES="-1", TF_ENABLE_ONEDNN_OPTS="0")
import keras, numpy as np, onnx, onnxruntime, tf_keras
from safetensors import safe_open
from resume import judge
from sources import all_sources

HERE = os.path.dirname(os.path.abspath(__file__))
PACKAGE, SAVED = sys.argv[1:]
TOLERANCE = 1e-5
# What Keras 2 has not, and Keras 3 has: such a model may fail to load in it, and only so.
NOT_IN_KERAS_2 = r"Unknown layer: 'RMSNormalization'|Unknown activation function|maximum supported output rank is 2"


def main():
    folder = tempfile.mkdtemp(prefix="nearside-")
    sources = {source.name: source for source in all_sources(folder)}
    with open(f"{folder}/jobs.json", "w") as file:
        json.dump([source.job() for source in sources.values()], file)
    subprocess.run(["node", f"{HERE}/save.mjs", PACKAGE, f"{folder}/jobs.json", f"{folder}/saved"], check=True)
    cases = [Case(f"{folder}/saved/{name}", source) for name, source in sources.items()]
    cases += [Case(f"{SAVED}/{name}") for name in sorted(os.listdir(SAVED))]
    assert len(cases) > len(sources) > 0
    counts = {}
    for case in cases:
        for tool in (case.origin, case.complete, case.keras, case.keras2, case.onnx, case.safetensors):
            try:
                counts[tool.__name__] = counts.get(tool.__name__, 0) + tool()
            except Exception as error:
                raise AssertionError(f"{case.folder}: {tool.__name__}") from error
    print(f"{len(cases)} models: " + ", ".join(f"{count} files by {tool}" for tool, count in counts.items() if count))
    assert all(counts[tool] for tool in ("origin", "keras", "keras2", "onnx", "safetensors")), counts
    print(f"{judge(f'{SAVED}/../compiled')} files of compiled models by Keras")


class Case:
    """A model in every format, what it was given, and what nearside answered."""

    def __init__(self, folder, source=None):
        self.folder, self.source = folder, source
        with open(f"{folder}/case.json") as file:
            self.facts = json.load(file)
        rows = lambda x: array(x, [-1 if axis is None else axis for axis in x["shape"]])
        self.inputs = [rows(x) for x in self.facts["inputs"]]
        self.outputs = {dtype: outputs for dtype, outputs in self.facts["outputs"].items()}

    def files(self, *formats):
        for dtype in ("f32", "f16", "int8"):
            for format in formats:
                path = f"{self.folder}/{dtype}.{format}"
                if os.path.exists(path):
                    yield path, [array(x, x["shape"]) for x in self.outputs[dtype]]

    def origin(self):
        """nearside answers as the tool that made the model."""
        source = self.source
        if source is None or source.outputs is None:
            return 0
        outputs = self.outputs["f32"]
        if source.labels is not None:
            assert outputs[0]["labels"] == source.labels
            assert source.names is None or outputs[1]["classes"] == source.names
            outputs = outputs[1:]
        close([array(x, x["shape"]) for x in outputs], source.outputs)
        return 1

    def complete(self):
        """A format that is missing was refused, with those that are not."""
        for dtype in ("f32", "f16", "int8"):
            for format in ("safetensors", "onnx", "h5", "keras"):
                file = f"{dtype}.{format}"
                if os.path.exists(f"{self.folder}/{file}"):
                    continue
                assert format in ("h5", "keras") and "'onnx' or 'safetensors'" in self.facts["refused"][file], file
        return 0

    def keras(self):
        count = 0
        for path, expected in self.files("h5", "keras"):
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                # Of Keras's own imports.
                warnings.filterwarnings("ignore", "In the future `np.object`")
                model = keras.models.load_model(path, compile=False)
                answers = call(model, self.inputs)
                # Also as a compiled graph, which takes fewer names.
                assert not path.endswith("f32.keras") or same(model.predict(unpacked(self.inputs), verbose=0), answers)
            compare(path, answers, expected, self.facts["outputs"]["f32"])
            if self.source and self.source.outputs and "/f32." in path:
                close(answers, self.source.outputs)
            count += 1
        return count

    def keras2(self):
        count = 0
        for path, expected in self.files("h5"):
            try:
                model = tf_keras.models.load_model(path, compile=False)
            except Exception as error:
                assert re.search(NOT_IN_KERAS_2, str(error)), path
                assert not self.folder.split("/")[-1].startswith("keras2_"), path
                continue
            compare(path, call(model, self.inputs), expected, self.facts["outputs"]["f32"])
            count += 1
        return count

    def onnx(self):
        count = 0
        for path, expected in self.files("onnx"):
            onnx.checker.check_model(path, full_check=True)
            options = onnxruntime.SessionOptions()
            if "/int8." in path:
                # Beyond these, ONNX Runtime rounds what the int8 weights are multiplied with as well.
                options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
            session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
            kind = lambda value: np.int64 if value.type == "tensor(int64)" else np.float32
            feeds = {value.name: x.astype(kind(value)) for value, x in zip(session.get_inputs(), self.inputs)}
            assert len(feeds) == len(self.inputs)
            answers = session.run(None, feeds)
            for i, (answer, output) in enumerate(zip(answers, self.outputs["f32"])):
                if isinstance(answer, list):
                    assert sorted(answer[0]) == sorted(output["classes"]), path
                    answers[i] = np.array([[row[name] for name in output["classes"]] for row in answer])
                elif answer.dtype == object:
                    names = output["classes"]
                    answers[i] = np.array([names.index(name) for name in answer.ravel()]).reshape(answer.shape)
            compare(path, answers, expected)
            count += 1
        return count

    def safetensors(self):
        count = 0
        for path, _ in self.files("safetensors"):
            with safe_open(path, "np") as file:
                layers = {layer["name"]: layer for layer in json.loads(file.metadata()["nearside"])["layers"]}
                names = {f"{name}/{weight}" for name, layer in layers.items() for weight in layer["weights"]}
                scales = {name for name in file.keys() if name not in names}
                assert scales <= {f"{name}/scale" for name in names} and names <= set(file.keys()), path
                for name in file.keys():
                    tensor = file.get_tensor(name)
                    assert (f"{name}/scale" in scales) == (tensor.dtype == np.int8), (path, name)
            count += 1
        return count


def array(x, shape):
    """A tensor as Node writes it, in base64, or as Rust does."""
    data = x["data"]
    data = np.frombuffer(base64.b64decode(data), np.float32) if isinstance(data, str) else np.array(data, np.float32)
    return data.reshape(shape)


def unpacked(inputs):
    return inputs[0] if len(inputs) == 1 else inputs


def call(model, inputs):
    answers = model(unpacked(inputs), training=False)
    return [np.asarray(answer) for answer in (answers if isinstance(answers, (list, tuple)) else [answers])]


def same(answers, expected):
    answers = answers if isinstance(answers, (list, tuple)) else [answers]
    close(answers, expected)
    return True


def compare(path, answers, expected, facts=None):
    """Fails unless all are close; but for sparsemax, in which Keras 3.15 and 2 differ from the paper."""
    kept = [i for i in range(len(expected)) if not facts or "sparsemax" not in facts[i]["name"]]
    assert len(answers) == len(expected) and kept, path
    close([answers[i] for i in kept], [expected[i] for i in kept])


def close(answers, expected):
    assert len(answers) == len(expected)
    for answer, wanted in zip(answers, expected):
        assert np.shape(answer) == np.shape(wanted), (np.shape(answer), np.shape(wanted))
        # To the scale of each output: sums of large values lose small ones.
        finite = np.abs(wanted[np.isfinite(wanted)])
        scale = max(1, finite.max(initial=0))
        np.testing.assert_allclose(answer, wanted, rtol=0, atol=TOLERANCE * scale)


main()
