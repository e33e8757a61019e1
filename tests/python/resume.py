"""Compiled models through nearside and back.

python resume.py make FOLDER  makes tests/fixtures/training/compiled with Keras 3 and 2.
python resume.py SAVED        Keras resumes what tests/compiled.rs read from those files and from training/resume, and
                              left as SAVED/NAME.SOURCE.TARGET: with the same optimizer, state, losses and metrics."""

import collections, logging, os, re, sys, warnings

os.environ.update(TF_CPP_MIN_LOG_LEVEL="3", CUDA_VISIBLE_DEVICES="-1", TF_ENABLE_ONEDNN_OPTS="0")
import h5py, keras, numpy as np, tf_keras

FIXTURES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../fixtures/training")
STEPS = 5


def make(folder):
    os.makedirs(folder, exist_ok=True)
    for name, k, model, formats in models():
        x, y = samples(model, 4)
        model.train_on_batch(x, y)
        model.train_on_batch(x, y)
        # Saving HDF5 takes the optimizer out of what Keras 3 would write afterwards.
        for format in sorted(formats, reverse=True):
            model.save(f"{folder}/{name}.{format}")


def models():
    """What training/resume has not: name, Keras, model, formats."""
    keras.utils.set_random_seed(7)
    rate = keras.optimizers.schedules.ExponentialDecay(0.01, 10, 0.5)
    model = two_outputs(keras)
    losses = {"b": "huber", "a": keras.losses.CategoricalCrossentropy(label_smoothing=0.1)}
    metrics = {"a": ["accuracy", keras.metrics.TopKCategoricalAccuracy(2)]}
    model.compile(keras.optimizers.Adam(rate), losses, {"a": 0.5, "b": 2.0}, metrics, ["mae", "mse"])
    yield "outputs", keras, model, ("h5", "keras")

    model = norms(keras)
    model.compile(keras.optimizers.RMSprop(0.02, clipnorm=1.0), keras.losses.LogCosh())
    yield "norms", keras, model, ("keras",)

    model = chain(keras)
    # Keras 3.15 does not find 'mse' again that it wrote to HDF5.
    model.compile(keras.optimizers.Adam(0.5), "mean_squared_error", metrics=["mae"])
    model.optimizer.learning_rate = 0.125
    yield "reduced", keras, model, ("h5", "keras")

    model = chain(keras)
    model.compile(keras.optimizers.SGD(keras.optimizers.schedules.PiecewiseConstantDecay([1, 3], [1.0, 0.5, 0.25])), "mean_squared_error")
    yield "plain", keras, model, ("h5", "keras")

    for name, O in (("keras2_new", tf_keras.optimizers), ("keras2_legacy", tf_keras.optimizers.legacy)):
        model = two_outputs(tf_keras)
        model.compile(O.Adam(0.01, amsgrad=True), ["categorical_crossentropy", "mse"], metrics=["accuracy"])
        yield name, tf_keras, model, ("h5",)
    model = chain(tf_keras)
    model.compile(tf_keras.optimizers.SGD(0.1), tf_keras.losses.MeanAbsoluteError())
    yield "keras2_plain", tf_keras, model, ("h5", "keras")


def chain(k):
    L = k.layers
    return k.Sequential([L.InputLayer((3,)), L.Dense(4, activation="tanh"), L.Dense(2)])


def two_outputs(k):
    """Weights of every kind, a layer that is shared, a model in the model, and layers that are not trained."""
    L, R = k.layers, k.regularizers
    x, i = k.Input((4,), name="x"), k.Input((3,), name="i", dtype="int32")
    shared = L.Dense(4, kernel_regularizer=R.L1L2(0.01, 0.02), name="shared")
    inner = k.Sequential([L.InputLayer((4,)), L.Dense(3, name="deep"), L.PReLU(alpha_regularizer="l1", name="slope")], name="inner")
    frozen = k.Sequential([L.InputLayer((4,)), L.Dense(3, name="still")], name="frozen")
    frozen.trainable = False
    embedded = L.Flatten(name="flat")(L.Embedding(9, 2, embeddings_regularizer=R.L2(0.03), name="table")(i))
    normal = L.BatchNormalization(gamma_regularizer=R.L2(0.04), beta_regularizer=R.L1(0.05), name="normal")(shared(shared(x)))
    fixed = L.Dense(3, trainable=False, name="fixed")(normal)
    all = L.Concatenate(name="all")([inner(normal), frozen(x), fixed, embedded])
    a = L.Dense(3, activation="softmax", bias_regularizer=R.L2(0.06), name="a")(all)
    b = L.Dense(2, activity_regularizer=R.L2(0.07), name="b")(all)
    return k.Model([x, i], [a, b], name="outputs")


def norms(k):
    L = k.layers
    x = k.Input((4, 6), name="x")
    y = L.LayerNormalization(axis=[1, 2], name="layer")(x)
    y = L.GroupNormalization(2, name="group")(L.Dense(6, name="first")(y))
    y = L.RMSNormalization(name="root")(L.Dense(6, name="second")(y))
    return k.Model(x, L.Dense(1, name="last")(L.Flatten(name="flat")(y)))


def samples(model, rows):
    random = np.random.default_rng(rows)
    draw = lambda t: random.integers(0, 9, (rows, *t.shape[1:])) if "int" in str(t.dtype) else random.normal(size=(rows, *t.shape[1:]))
    x = [draw(t).astype("int32" if "int" in str(t.dtype) else "float32") for t in model.inputs]
    y = [random.dirichlet(np.ones(t.shape[-1]), rows).astype("float32") for t in model.outputs]
    return unpacked(x), unpacked(y)


def unpacked(items):
    return items[0] if len(items) == 1 else items


def judge(folder):
    """Keras goes on with every file as with the one that it was read from; how many there are."""
    originals = {file: f"{FIXTURES}/{kind}/{file}" for kind in ("resume", "compiled") for file in os.listdir(f"{FIXTURES}/{kind}")}
    count = 0
    for file in sorted(os.listdir(folder)):
        source, _ = os.path.splitext(file)
        try:
            compare(originals[source], f"{folder}/{file}")
        except Exception as error:
            raise AssertionError(file) from error
        count += 1
    assert count >= 2 * len(originals) > 0
    return count


def compare(source, path):
    name = os.path.basename(source)
    original, saved = reopened(tf_keras if name.startswith("keras2_") else keras, source), quietly(lambda: reopened(keras, path))
    one, other = original.optimizer, saved.optimizer
    assert type(one).__name__ == type(other).__name__
    assert int(one.iterations) == int(other.iterations) > 0
    configs = [{key: value for key, value in o.get_config().items() if key != "name"} for o in (one, other)]
    assert name.startswith("keras2_") or configs[0].keys() == configs[1].keys(), configs
    for key in configs[0].keys() & configs[1].keys():
        # Keras 2 writes what it has as float32.
        same(configs[0][key], configs[1][key], key)
    kept, found = (collections.Counter(np.asarray(v, np.float32).tobytes() for v in variables(o)) for o in (one, other))
    if name.startswith("keras2_"):
        found -= collections.Counter([np.float32(other.learning_rate).tobytes()])
    if name.startswith("keras2_plain"):
        # A momentum of 0 has variables in Keras 2.
        kept = collections.Counter([np.float32(one.iterations).tobytes()])
    if name.startswith("norms"):
        # A scale that is no layer's own is not trained.
        assert found and found <= kept
    else:
        assert found == kept
        x, y = samples(original, 16)
        y = y.argmax(-1) if "sparse" in str(original.loss) else y
        for _ in range(STEPS):
            before, after = (long_names(model.train_on_batch(x, y, return_dict=True)) for model in (original, saved))
            assert before.keys() == after.keys(), (before.keys(), after.keys())
            for key in before:
                np.testing.assert_allclose(after[key], before[key], rtol=2e-5, err_msg=key)
    if path.endswith(".h5") and not name.startswith(("norms", "adamw")):
        # With an optimizer that has other variables, and begins anew.
        assert type(tf_keras.models.load_model(path).optimizer).__name__ == type(one).__name__


def long_names(results):
    """Which Keras 3 gives to metrics in HDF5 alone."""
    for short, long in (("mae", "mean_absolute_error"), ("mse", "mean_squared_error")):
        results = {re.sub(rf"\b{short}$|_{short}$", lambda found: found[0].replace(short, long), key): value for key, value in results.items()}
    return results


def variables(optimizer):
    """A list in Keras 3, a function in Keras 2's older optimizers, and both in its newer ones."""
    return optimizer.variables() if callable(optimizer.variables) else optimizer.variables


def same(one, other, key):
    if isinstance(one, dict):
        assert one["class_name"] == other["class_name"], key
        for inner in one["config"].keys() - {"name"}:
            same(one["config"][inner], other["config"][inner], inner)
    elif isinstance(one, (int, float)) and not isinstance(one, bool):
        # Keras 2 says 0 where there is no decay.
        np.testing.assert_allclose(other or 0, one, rtol=1e-6, err_msg=key)
    else:
        assert one == other or not one and not other, (key, one, other)


def quietly(load):
    """What it returns, if nothing is said of the optimizer's state."""
    said = []
    handler = logging.Handler()
    handler.emit = lambda record: said.append(record.getMessage())
    logging.getLogger("absl").addHandler(handler)
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        model = load()
    logging.getLogger("absl").removeHandler(handler)
    said += [str(warning.message) for warning in warned]
    assert not any("optimizer" in message for message in said), said
    return model


def reopened(k, path):
    """The model with its optimizer's state, which Keras 3.15 writes to HDF5 whole, and does not read: it looks for the
    weights that are the model's own rather than its layers'."""
    model = k.models.load_model(path)
    if path.endswith(".h5") and k is keras:
        optimizer = type(model.optimizer).from_config(model.optimizer.get_config())
        optimizer.build(model.trainable_variables)
        with h5py.File(path) as file:
            weights = file["optimizer_weights"]
            names = weights.attrs["weight_names"]
            assert len(names) == len(optimizer.variables)
            optimizer.set_weights([weights[name][()] for name in names])
        model.optimizer = optimizer
    return model


if __name__ == "__main__":
    if sys.argv[1] == "make":
        make(sys.argv[2])
    else:
        print(f"{judge(sys.argv[1])} files of compiled models by Keras")
