"""Makes the fixtures of training with real Keras: python training.py OUT.

gradients.json and gradients/: models, and the gradients of their losses, computed in float64.
curves.json and curves/: the loss before each of 200 steps of every optimizer.
resume.json and resume/: models saved after 30 steps with their optimizer's state, and the losses of the next 30.
metrics.json: what the metrics make of some samples."""

import json, os, sys, warnings, zlib

os.environ.update(TF_CPP_MIN_LOG_LEVEL="3", CUDA_VISIBLE_DEVICES="-1", TF_ENABLE_ONEDNN_OPTS="0")
import keras, numpy as np, tensorflow as tf, tf_keras
from resume import reopened

OUT = sys.argv[1]
L = keras.layers
# No value that decides between two slopes is closer to where they meet.
MARGIN = 1e-3


def main():
    for folder in ("gradients", "curves", "resume"):
        os.makedirs(f"{OUT}/{folder}", exist_ok=True)
    repair_sparsemax()
    write("gradients", [case.record() for case in cases()])
    write("curves", curves())
    write("resume", resume())
    write("metrics", metrics())


def write(name, entries):
    """One entry a line, so that changes can be read."""
    with open(f"{OUT}/{name}.json", "w") as file:
        file.write("[\n" + ",\n".join(json.dumps(entry) for entry in entries) + "\n]\n")


def number(x):
    """As few digits as a float32 needs."""
    return float(f"{float(x):.9g}")


# Gradients.


class Case:
    """A model with a loss for each output. Inputs and targets are drawn until no value is near a kink. Cases may share
    the file of their model."""

    def __init__(self, name, model, *losses, file=None, loss_weights=None, sample_weight=False, training=True, **draws):
        self.name, self.file, self.model, self.losses, self.draws = name, file or name, model, losses, draws
        self.loss_weights, self.sample_weight, self.training = loss_weights, sample_weight, training

    def record(self):
        self.random = generator(self.file)
        for layer in self.model.layers:
            for variable in layer.weights:
                variable.assign(self.weight(layer, variable))
        self.model.save(f"{OUT}/gradients/{self.file}.h5")
        # Also what the losses are computed in.
        keras.config.set_floatx("float64")
        for attempt in range(1000):
            self.random = generator(self.name, attempt)
            arrays, closest = self.draw()
            if closest > MARGIN:
                break
        else:
            raise AssertionError(f"{self.name}: always near a kink")
        keras.config.set_floatx("float32")
        arrays = {name: np.ascontiguousarray(x, np.float32) for name, x in arrays.items()}
        np.savez(f"{OUT}/gradients/{self.name}.npz", **arrays)
        self.check(arrays)
        entry = {"name": self.name, "model": f"{self.file}.h5", "loss": list(self.losses)}
        entry |= {"loss_weights": self.loss_weights} if self.loss_weights else {}
        return entry | {"sample_weight": self.sample_weight, "training": self.training}

    def draw(self):
        """Inputs and targets with what Keras makes of them, and how close they come to a kink."""
        xs = [self.input(x) for x in self.model.inputs]
        closest = min([distance(layer, x) for layer, x in seen_by_layers(in_float64(self.model), xs)], default=np.inf)
        xs = [tf.constant(x, x.dtype if x.dtype.kind == "i" else "float64") for x in xs]
        outputs = in_float64(self.model)(unpacked(xs), training=self.training)
        outputs = outputs if isinstance(outputs, list) else [outputs]
        ys = [self.target(loss, output.shape) for loss, output in zip(self.losses, outputs)]
        closest = min([closest, *map(loss_distance, self.losses, ys, map(np.asarray, outputs))])
        weights = self.random.uniform(0.2, 3, len(ys[0])).astype("float32") if self.sample_weight else None
        arrays = numbered("x", xs) | numbered("y", ys) | ({"sample_weight": weights} if self.sample_weight else {})
        # Each time afresh, as a call in training moves what BatchNormalization keeps.
        return arrays | self.gradients(in_float64(self.model), xs, ys, weights), closest

    def gradients(self, model, xs, ys, sample_weight):
        self.compile(model)
        variables = {f"grad/{layer.name}/{v.name}": v.value for layer in model.layers for v in layer.trainable_weights}
        moving = [(layer, v) for layer in model.layers for v in layer.weights if v.name.startswith("moving_")]
        kept = {f"after/{layer.name}/{v.name}": v for layer, v in moving}
        grad_x = {name: x for name, x in numbered("grad_x", xs).items() if x.dtype == tf.float64}
        with tf.GradientTape() as tape:
            tape.watch(list(grad_x.values()))
            loss = self.loss(model, xs, ys, sample_weight)
        found = tape.gradient(loss, variables | grad_x)
        assert all(x is not None for x in found.values()), self.name
        results = {"loss": np.reshape(loss, 1)} | {name: tf.convert_to_tensor(x) for name, x in found.items()}
        return results | {name: v.numpy() for name, v in kept.items() if self.training}

    def compile(self, model):
        losses = [loss_of(config) for config in self.losses]
        model.compile(loss=unpacked(losses), loss_weights=self.loss_weights)

    def loss(self, model, xs, ys, sample_weight):
        answers = model(unpacked(xs), training=self.training)
        ys = unpacked([tf.constant(y, answers[0].dtype) for y in ys])
        return model.compute_loss(unpacked(xs), ys, answers, sample_weight)

    def check(self, arrays):
        """What was saved gives this loss in float32 as well; but Keras forgets more axes than one in HDF5."""
        if self.name == "layer_normalization_axes":
            return
        model = keras.models.load_model(f"{OUT}/gradients/{self.file}.h5", compile=False)
        self.compile(model)
        xs = [np.asarray(arrays[name], x.dtype) for name, x in numbered("x", model.inputs).items()]
        ys = [arrays[name] for name in numbered("y", self.losses)]
        loss = self.loss(model, [tf.constant(x) for x in xs], ys, arrays.get("sample_weight"))
        np.testing.assert_allclose(loss, arrays["loss"][0], rtol=1e-5, err_msg=self.name)

    def normal(self, *shape):
        return self.random.normal(size=shape).astype("float32")

    def weight(self, layer, variable):
        if isinstance(layer, L.Normalization):
            return variable
        normal = self.normal(*variable.shape)
        match variable.name:
            case "kernel":
                # Of the layer with the name that is given, so large that the largest output is about as is given.
                scale = self.draws.get("scale", {}).get(layer.name, 1.0)
                return normal * scale / np.sqrt(variable.shape[0])
            case "gamma" | "scale":
                return 1 + 0.3 * normal
            case "moving_variance":
                return 0.5 + np.abs(normal)
            case "alpha":
                return 0.3 * normal
        return 0.5 * normal

    def input(self, x):
        shape = (self.draws.get("batch", 6), *x.shape[1:])
        return self.random.integers(0, 9, shape).astype(x.dtype) if x.dtype.startswith("int") else self.normal(*shape)

    def target(self, loss, shape):
        random, classes = self.random, shape[-1]
        one_hot = lambda: np.eye(classes, dtype="float32")[random.integers(0, classes, shape[:-1])]
        match loss["name"]:
            case "binary_crossentropy":
                return random.integers(0, 2, shape).astype("float32")
            case "hinge" | "squared_hinge":
                signs = random.integers(0, 2, shape).astype("float32")
                return signs if self.draws.get("zeros") else 2 * signs - 1
            case "categorical_crossentropy" | "categorical_hinge":
                return one_hot()
            case "sparse_categorical_crossentropy":
                return random.integers(0, classes, shape[:-1]).astype("float32")
            case "kl_divergence":
                return random.dirichlet(np.ones(classes), shape[:-1]).astype("float32")
            case "poisson":
                return random.poisson(2, shape).astype("float32")
            case "mean_squared_logarithmic_error" | "mean_absolute_percentage_error":
                return np.abs(self.normal(*shape)) + np.float32(0.2)
        return self.normal(*shape)


def generator(name, attempt=0):
    return np.random.default_rng([zlib.crc32(name.encode()), attempt])


def unpacked(items):
    return items[0] if len(items) == 1 else list(items)


def numbered(name, items):
    return {name: items[0]} if len(items) == 1 else {f"{name}_{i}": x for i, x in enumerate(items)}


def loss_of(config):
    kind = {"kl_divergence": "KLDivergence"}.get(config["name"]) or config["name"].title().replace("_", "")
    return getattr(keras.losses, kind)(**{name: x for name, x in config.items() if name != "name"})


def in_float64(model):
    precise = keras.models.model_from_json(model.to_json().replace("float32", "float64"))
    precise.set_weights(model.get_weights())
    for layer in precise.layers:
        if isinstance(layer, L.Normalization):
            layer.finalize_state()
    return precise


def seen_by_layers(model, xs):
    """Each layer with what it is given; of a dense one, what it gives its activation."""
    layers = [layer for layer in model.layers if not isinstance(layer, L.InputLayer)]
    seen = keras.Model(model.inputs, [layer.input for layer in layers])(unpacked(xs), training=True)
    for layer, x in zip(layers, seen):
        if isinstance(layer, L.Dense):
            x = x @ layer.kernel.numpy() + (layer.bias.numpy() if layer.use_bias else 0)
        yield layer, x


KINKS = dict(relu=[0], relu6=[0, 6], leaky_relu=[0], selu=[0], hard_sigmoid=[-3, 3], hard_silu=[-3, 3], hard_tanh=[-1, 1])
KINKS |= dict(hard_shrink=[-0.5, 0.5], soft_shrink=[-0.5, 0.5], sparse_sigmoid=[-1, 1])


def distance(layer, x):
    """From where this layer's slope jumps."""
    between = lambda x, axis: np.diff(np.sort(-np.asarray(x), axis), axis=axis).take(0, axis)
    kind, activation = type(layer).__name__, getattr(getattr(layer, "activation", None), "__name__", "")
    match kind:
        case "ReLU":
            kinks = [0, float(layer.threshold), float(layer.max_value or 0)]
        case "LeakyReLU" | "ELU" | "PReLU":
            kinks = [0]
        case "Maximum" | "Minimum":
            return np.abs(x[0] - x[1]).min()
        case "GlobalMaxPooling1D":
            return between(x, 1).min()
        case _:
            kinks = KINKS.get(activation, [])
    if activation == "sparsemax":
        kept = np.asarray(sparsemax(x))
        threshold = np.max(np.where(kept > 0, x - kept, -np.inf), -1, keepdims=True)
        return np.abs(x - threshold).min()
    return min([np.abs(x - kink).min() for kink in kinks], default=np.inf)


def loss_distance(loss, y, p):
    match loss["name"]:
        case "mean_absolute_error" | "mean_absolute_percentage_error":
            return np.abs(y - p).min()
        case "huber":
            return np.abs(np.abs(y - p) - loss.get("delta", 1)).min()
        case "hinge" | "squared_hinge":
            return np.abs(1 - y * p if (y < 0).any() else 1 - (2 * y - 1) * p).min()
        case "categorical_hinge":
            others = np.sort((1 - y) * p, -1)
            return min(np.abs(others[:, -1] - (y * p).sum(-1) + 1).min(), (others[:, -1] - others[:, -2]).min())
        case "mean_squared_logarithmic_error":
            return p.min()
    return np.inf


def sparsemax(x, axis=-1):
    """Martins & Astudillo 2016, algorithm 1."""
    x = tf.convert_to_tensor(x)
    descending = tf.sort(x, axis, "DESCENDING")
    count = tf.range(1, x.shape[axis] + 1, dtype=x.dtype)
    kept = tf.cast(1 + count * descending > tf.cumsum(descending, axis), x.dtype)
    total = lambda x: tf.reduce_sum(x, axis, keepdims=True)
    return tf.maximum(x - (total(descending * kept) - 1) / total(kept), 0)


def repair_sparsemax():
    """Keras 3.15 adds cumulative sums of the support where the last one is meant: the paper's is recorded."""
    keras.src.backend.nn.sparsemax = sparsemax


def cases():
    keras.backend.clear_session()
    yield from activation_cases()
    yield from loss_cases()
    yield from layer_cases()


MSE = {"name": "mean_squared_error"}
ACTIVATIONS = """linear relu relu6 leaky_relu elu celu selu gelu sigmoid hard_sigmoid silu hard_silu tanh hard_tanh
    tanh_shrink hard_shrink soft_shrink softplus squareplus softsign log_sigmoid mish sparse_plus sparse_sigmoid
    exponential softmax log_softmax sparsemax glu""".split()


def activation_cases():
    left_out = {f.__name__ for f in keras.src.activations.ALL_OBJECTS} - set(ACTIVATIONS)
    print("left out, as no name stands for them:", *sorted(left_out), "gelu(approximate)")
    x = keras.Input((6,), name="x")
    outputs = [L.Dense(4, activation=a, name=a)(x) for a in ACTIVATIONS]
    wide = {a: 1.0 if a == "exponential" else 2.5 for a in ACTIVATIONS}
    yield Case("activations", keras.Model(x, outputs), *[MSE] * len(outputs), scale=wide, batch=5)
    x = keras.Input((6,), name="x")
    layers = dict(
        relu=L.ReLU(),
        relu_max_value=L.ReLU(max_value=1.5),
        relu_negative_slope=L.ReLU(negative_slope=0.2),
        relu_threshold=L.ReLU(threshold=0.7),
        relu_everything=L.ReLU(max_value=2, negative_slope=0.1, threshold=0.4),
        leaky_relu=L.LeakyReLU(),
        leaky_relu_slope=L.LeakyReLU(negative_slope=0.05),
        elu=L.ELU(alpha=0.7),
        prelu=L.PReLU(),
        softmax=L.Softmax(),
        tanh=L.Activation("tanh"),
    )
    outputs = []
    for name, layer in layers.items():
        layer.name = f"{name}_layer"
        outputs.append(layer(L.Dense(4, name=name)(x)))
    rows = L.Reshape((2, 3), name="rows")(x)
    for layer in (L.PReLU(shared_axes=[1], name="prelu_shared"), L.Softmax(axis=1, name="softmax_axis")):
        outputs.append(layer(L.Dense(4, name=f"before_{layer.name}")(rows)))
    yield Case("activation_layers", keras.Model(x, outputs), *[MSE] * len(outputs), scale={name: 2.0 for name in layers})


def loss_cases():
    def case(name, loss, activation, scale=1.0, **more):
        model = keras.Sequential([keras.Input((5,)), L.Dense(8, "tanh", name="hidden"), L.Dense(4, activation, name="last")])
        kind, settings = loss if isinstance(loss, tuple) else (loss, {})
        file = f"loss_{activation}{'_extreme' if scale > 1 else ''}"
        return Case(f"loss_{name}", model, {"name": kind} | settings, file=file, scale={"last": scale}, **more)

    bce, cce, sparse = "binary_crossentropy", "categorical_crossentropy", "sparse_categorical_crossentropy"
    suitable = {bce: "sigmoid", cce: "softmax", sparse: "softmax", "kl_divergence": "softmax", "hinge": "tanh"}
    suitable |= {"squared_hinge": "tanh", "poisson": "softplus", "mean_squared_logarithmic_error": "softplus"}
    linear = """mean_squared_error mean_absolute_error huber categorical_hinge cosine_similarity log_cosh
        mean_absolute_percentage_error""".split()
    for loss, activation in (suitable | dict.fromkeys(linear, "linear")).items():
        yield case(loss, loss, activation)
    for loss in (bce, cce, sparse):
        yield case(f"{loss}_from_logits", (loss, {"from_logits": True}), "linear")
        yield case(f"{loss}_extreme_logits", (loss, {"from_logits": True}), "linear", 40.0)
        # Keras goes back to the logits when the probabilities come from the layer itself.
        yield case(f"{loss}_extreme", loss, suitable[loss], 40.0)
    # Here it cannot, and clips.
    yield case(f"{bce}_of_softmax", bce, "softmax")
    yield case(f"{cce}_of_softplus", cce, "softplus")
    yield case(f"{sparse}_of_softplus", sparse, "softplus")
    for loss in (bce, cce):
        yield case(f"{loss}_smoothed", (loss, {"label_smoothing": 0.1}), suitable[loss])
        yield case(f"{loss}_smoothed_logits", (loss, {"label_smoothing": 0.1, "from_logits": True}), "linear")
    yield case("huber_delta", ("huber", {"delta": 0.5}), "linear")
    yield case("hinge_of_zeros", "hinge", "tanh", zeros=True)
    for loss, activation in ((MSE["name"], "linear"), (sparse, "softmax"), (bce, "sigmoid")):
        yield case(f"{loss}_weighted", loss, activation, sample_weight=True)


def layer_cases():
    def chain(name, *layers, shape=(5,), loss=MSE, **more):
        return Case(name, keras.Sequential([keras.Input(shape), *layers]), loss, **more)

    dense = lambda name, units=4, activation=None, **more: L.Dense(units, activation, name=name, **more)
    batch_normalization = lambda **more: L.BatchNormalization(name="normalized", momentum=0.9, **more)
    normalized = lambda **more: [dense("before", 4, "tanh"), batch_normalization(**more), dense("after", 3)]
    yield chain("batch_normalization", *normalized())
    yield chain("batch_normalization_first", L.BatchNormalization(name="normalized"), dense("after", 3))
    yield chain("batch_normalization_inference", *normalized(), file="batch_normalization", training=False)
    yield chain("batch_normalization_frozen", *normalized(trainable=False))
    yield chain("batch_normalization_bare", *normalized(center=False, scale=False))
    yield chain("batch_normalization_3d", *normalized(), shape=(3, 4))
    yield chain("batch_normalization_axis", *normalized(axis=1), shape=(3, 4))
    before = dense("before")(x := keras.Input((5,), name="x"))
    kinds = [
        L.LayerNormalization(name="layer"),
        L.LayerNormalization(name="layer_bare", center=False, scale=False, epsilon=0.1),
        L.RMSNormalization(name="rms"),
        L.GroupNormalization(groups=2, name="group"),
        L.UnitNormalization(name="unit"),
    ]
    outputs = [dense(f"after_{kind.name}", 3)(kind(before)) for kind in kinds]
    yield Case("normalizations", keras.Model(x, outputs), *[MSE] * len(outputs))
    axes = L.LayerNormalization(axis=[1, 2], name="normalized")
    yield chain("layer_normalization_axes", axes, dense("after", 3), shape=(3, 4))
    yield chain("unit_normalization_axis", L.UnitNormalization(axis=1, name="normalized"), dense("after", 3), shape=(3, 4))
    yield chain("dense_3d", dense("hidden", 5, "tanh"), dense("last", 2, use_bias=False), shape=(3, 4))
    sparse = {"name": "sparse_categorical_crossentropy"}
    yield chain("sparse_3d", dense("hidden", 5, "tanh"), dense("last", 3, "softmax"), shape=(3, 4), loss=sparse)
    moved = [L.Permute((2, 1), name="permuted"), dense("hidden", 2, "tanh"), L.Reshape((2, 4), name="reshaped")]
    moved += [dense("middle", 3), L.Flatten(name="flat"), L.RepeatVector(2, name="repeated"), dense("last")]
    yield chain("shapes", *moved, shape=(3, 4))
    before = dense("before", 3, "tanh")(x := keras.Input((4, 3), name="x"))
    pooled = [L.GlobalAveragePooling1D(name="average")(before), L.GlobalMaxPooling1D(name="max")(before)]
    yield Case("pooled", keras.Model(x, pooled), MSE, MSE)
    yield chain("scaled", L.Rescaling(0.25, -0.5, name="rescaled"), dense("after"))
    given = L.Normalization(mean=[0.5, -1, 0, 2, 0.1], variance=[1, 4, 0.25, 2, 9], name="normalized")
    yield chain("normalization", given, dense("after"))
    adapted = L.Normalization(name="normalized")
    adapted.adapt(np.random.default_rng(1).normal([1, 2, 3, 4, 5], [1, 2, 3, 1, 2], (50, 5)).astype("float32"))
    yield chain("normalization_adapted", adapted, dense("after"))
    x = keras.Input((3,), dtype="int32", name="x")
    embedded = L.Flatten(name="flat")(L.Embedding(9, 4, name="embedded")(x))
    yield Case("embedding", keras.Model(x, dense("last")(embedded)), MSE)
    yield from merge_cases(dense)
    regularized = lambda first, last={}: [dense("first", 6, "tanh", **first), dense("last", 3, **last)]
    R = keras.regularizers
    active = L.ActivityRegularization(l1=0.02, l2=0.03, name="active")
    yield chain("activity_regularization", dense("first", 6, "tanh"), active, dense("last", 3))
    yield chain("activity_regularizer", *regularized({"activity_regularizer": R.L2(0.05)}))
    l1, l2 = {"kernel_regularizer": R.L1(0.02)}, {"kernel_regularizer": R.L2(0.03)}
    yield chain("regularizer_l1_and_l2", *regularized(l1, l2))
    both = {"kernel_regularizer": R.L1L2(0.01, 0.02), "bias_regularizer": R.L2(0.04)}
    yield chain("regularizer_l1_l2", *regularized(both))
    yield chain("regularizer_weighted", *regularized(both), file="regularizer_l1_l2", sample_weight=True)
    yield chain("regularizer_frozen", *regularized(both | {"trainable": False}, l2))
    frozen = dense("middle", 5, "tanh", trainable=False)
    yield chain("frozen_middle", dense("first", 6, "tanh"), frozen, dense("last", 3))
    first = [dense("first", 6, "tanh", trainable=False), dense("second", 5, "tanh", trainable=False)]
    yield chain("frozen_first", *first, dense("last", 3))


def merge_cases(dense):
    """Two branches in one, and networks that are no chain."""
    x = keras.Input((5,), name="x")
    sides = [dense("left", 4, "tanh")(x), dense("right", 4, "sigmoid")(x)]
    merges = [L.Concatenate, L.Add, L.Subtract, L.Multiply, L.Average, L.Maximum, L.Minimum]
    merged = [merge(name=merge.__name__.lower())(sides) for merge in merges]
    merged += [L.Dot(axes=1, name="dot")(sides), L.Dot(axes=1, normalize=True, name="dot_normalized")(sides)]
    yield Case("merges", keras.Model(x, merged), *[MSE] * len(merged))
    x, z = keras.Input((3, 4), name="a"), keras.Input((2, 4), name="b")
    yield Case("merge_dot_3d", keras.Model([x, z], L.Dot(axes=2, name="merged")([dense("left")(x), dense("right")(z)])), MSE)
    x, z = keras.Input((3, 4), name="a"), keras.Input((4,), name="b")
    wide = L.Add(name="merged")([dense("left")(x), L.Reshape((1, 4), name="row")(dense("right")(z))])
    yield Case("merge_broadcast", keras.Model([x, z], dense("last", 2)(wide)), MSE)
    x, z = keras.Input((4,), name="a"), keras.Input((4,), name="b")
    twice = dense("shared", 5, "tanh")
    yield Case("shared", keras.Model([x, z], dense("last", 3)(L.Subtract(name="merged")([twice(x), twice(z)]))), MSE)
    x, z = keras.Input((4,), name="a"), keras.Input((3,), name="b")
    merged = L.Concatenate(name="merged")([dense("left", 4, "tanh")(x), dense("right", 3, "relu")(z)])
    outputs = [dense("classes", 3, "softmax")(merged), dense("values", 2)(merged)]
    losses = {"name": "sparse_categorical_crossentropy"}, {"name": "huber"}
    yield Case("two_outputs", keras.Model([x, z], outputs), *losses)
    yield Case("two_outputs_weighted", keras.Model([x, z], outputs), *losses, file="two_outputs", loss_weights=[0.3, 2.0])
    x = keras.Input((5,), name="x")
    hidden = dense("hidden", 5, "tanh")(x)
    residual = L.Add(name="merged")([hidden, dense("inner", 5, "gelu")(hidden), x])
    yield Case("residual", keras.Model(x, [dense("last", 3)(residual), hidden]), MSE, MSE)


# Curves, and what is resumed.


def problem():
    """Five clouds of points, a tenth of which is named wrongly."""
    random = np.random.default_rng(5)
    y = random.integers(0, 5, 160)
    x = (random.normal(size=(5, 12))[y] + random.normal(size=(160, 12))).astype("float32")
    wrong = random.random(160) < 0.1
    return x, np.where(wrong, random.integers(0, 5, 160), y).astype("float32")


X, Y = problem()


def batch(step):
    rows = slice(step % 10 * 16, step % 10 * 16 + 16)
    return X[rows], Y[rows]


def network(k=keras, regularizer=None):
    k.backend.clear_session()
    k.utils.set_random_seed(3)
    layers = [
        k.layers.Dense(units, activation, name=name, kernel_regularizer=regularizer)
        for name, units, activation in (("first", 16, "relu"), ("second", 12, "tanh"), ("last", 5, "softmax"))
    ]
    return k.Sequential([k.layers.Input((12,)), *layers], name="network")


def train(model, steps, **more):
    losses = [model.train_on_batch(*batch(step), **more) for step in steps]
    return [number(loss[0] if isinstance(loss, list) else loss) for loss in losses]


def described(optimizer):
    return {"class_name": type(optimizer).__name__} | optimizer.get_config()


def curves():
    O, S = keras.optimizers, keras.optimizers.schedules
    np.savez(f"{OUT}/curves/data.npz", x=X, y=Y)
    warm = S.CosineDecay(0.01, decay_steps=140, alpha=0.1, warmup_target=0.1, warmup_steps=30)
    optimizers = dict(
        sgd=O.SGD(0.05),
        momentum=O.SGD(0.05, momentum=0.9),
        nesterov=O.SGD(0.05, momentum=0.9, nesterov=True),
        adam=O.Adam(),
        adam_amsgrad=O.Adam(0.01, amsgrad=True),
        adamw=O.AdamW(1e-3, weight_decay=0.004),
        rmsprop=O.RMSprop(),
        rmsprop_centered=O.RMSprop(centered=True, momentum=0.9),
        adagrad=O.Adagrad(0.05),
        adam_clipnorm=O.Adam(clipnorm=0.1),
        adam_global_clipnorm=O.Adam(global_clipnorm=0.1),
        adam_clipvalue=O.Adam(clipvalue=0.01),
        # Adam all but undoes a scale of the gradients, and this does not.
        sgd_clipnorm=O.SGD(0.2, clipnorm=0.1),
        sgd_global_clipnorm=O.SGD(0.2, global_clipnorm=0.1),
        sgd_exponential=O.SGD(S.ExponentialDecay(0.2, 50, 0.5)),
        sgd_exponential_staircase=O.SGD(S.ExponentialDecay(0.2, 50, 0.5, staircase=True)),
        sgd_cosine=O.SGD(S.CosineDecay(0.1, decay_steps=150, alpha=0.1)),
        sgd_cosine_warmup=O.SGD(warm),
        sgd_piecewise=O.SGD(S.PiecewiseConstantDecay([50, 120], [0.1, 0.05, 0.01])),
        sgd_weight_decay=O.SGD(0.05, weight_decay=0.01),
        sgd_momentum_weight_decay_clipped=O.SGD(0.05, momentum=0.9, weight_decay=0.01, clipnorm=0.5),
        adam_l2=O.Adam(),
        adam_class_weight=O.Adam(),
    )
    for name, optimizer in optimizers.items():
        start = "l2" if name == "adam_l2" else "start"
        model = network(regularizer=keras.regularizers.L2(0.01) if start == "l2" else None)
        if name in ("sgd", "adam_l2"):
            model.save(f"{OUT}/curves/{start}.h5")
        weights = {"class_weight": {0: 1.0, 1: 3.0, 2: 0.5, 4: 2.0}} if name == "adam_class_weight" else {}
        entry = {"name": name, "start": f"{start}.h5", "optimizer": described(optimizer)} | weights
        model.compile(optimizer, "sparse_categorical_crossentropy", jit_compile=False)
        yield entry | {"losses": train(model, range(200), **weights)}


def resume():
    def optimizers(O):
        return dict(
            adam=O.Adam(),
            sgd_momentum=O.SGD(0.05, momentum=0.9),
            rmsprop_centered=O.RMSprop(centered=True, momentum=0.9),
            adamw=O.AdamW(1e-3, weight_decay=0.004),
            adagrad=O.Adagrad(0.05),
            adam_amsgrad=O.Adam(0.01, amsgrad=True),
        )

    start = network().get_weights()
    for prefix, k, formats in (("", keras, ("keras", "h5")), ("keras2_", tf_keras, ("h5",))):
        for name, optimizer in optimizers(k.optimizers).items():
            if prefix and name not in ("adam", "sgd_momentum"):
                continue
            model = network(k)
            model.set_weights(start)
            model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
            entry = {"name": prefix + name, "optimizer": described(optimizer), "before": train(model, range(30))}
            paths = [f"{OUT}/resume/{prefix}{name}.{format}" for format in formats]
            # In this order, as Keras 3.15 takes the optimizer out of what it compiled when it saves HDF5.
            for path in paths:
                model.save(path)
            entry["after"] = train(model, range(30, 60))
            for path in paths:
                resumed = train(reopened(k, path), range(30, 60))
                np.testing.assert_allclose(resumed, entry["after"], rtol=1e-5, err_msg=path)
            yield plain(entry)


def plain(x):
    """With Keras 2's float32 as Python's."""
    if isinstance(x, dict):
        return {name: plain(value) for name, value in x.items()}
    return float(x) if isinstance(x, np.floating) else x


# Metrics.


def metrics():
    random = np.random.default_rng(9)
    n = 24
    rounded = lambda x: np.round(x, 3).astype("float32")
    weights = rounded(random.uniform(0.2, 3, n))
    labels = random.integers(0, 4, n)
    scores = random.normal(size=(n, 4)) + 1.2 * np.eye(4)[labels]
    probabilities = np.round(np.exp(scores) / np.exp(scores).sum(1, keepdims=True), 3)
    # Sums to one although rounded, so that nothing hangs on whether a metric divides by the sum.
    probabilities[:, 0] += 1 - probabilities.sum(1)
    classes = np.eye(4)[labels], rounded(probabilities)
    sparse = labels.astype("float32"), rounded(probabilities)
    truth = random.integers(0, 2, n)
    chance = rounded(1 / (1 + np.exp(-random.normal(size=n) - 1.5 * truth + 0.75)))
    binary = truth.astype("float32"), chance
    column = truth[:, None].astype("float32"), chance[:, None]
    several = random.integers(0, 2, (n, 3))
    marks = several.astype("float32"), rounded(1 / (1 + np.exp(-random.normal(size=(n, 3)) - several + 0.5)))
    wanted = rounded(random.normal(size=(n, 2)) + [1, -3])
    values = wanted, rounded(wanted + 0.4 * random.normal(size=(n, 2)))
    same = labels.astype("float32"), np.where(random.random(n) < 0.6, labels, random.integers(0, 4, n)).astype("float32")
    logits = classes[0], rounded(scores)
    table = [
        ("Accuracy", {}, same),
        ("BinaryAccuracy", {}, binary),
        ("BinaryAccuracy", {"threshold": 0.3}, marks),
        ("CategoricalAccuracy", {}, classes),
        ("SparseCategoricalAccuracy", {}, sparse),
        *[("TopKCategoricalAccuracy", {"k": k}, classes) for k in (1, 2, 3)],
        *[("SparseTopKCategoricalAccuracy", {"k": k}, sparse) for k in (1, 2, 3)],
        ("AUC", {}, binary),
        ("AUC", {"curve": "PR"}, binary),
        ("AUC", {"num_thresholds": 20}, binary),
        ("AUC", {"num_thresholds": 20, "curve": "PR", "summation_method": "minoring"}, binary),
        ("AUC", {"num_thresholds": 20, "summation_method": "majoring"}, binary),
        ("AUC", {"thresholds": [0.2, 0.5, 0.7]}, binary),
        ("AUC", {}, marks),
        ("AUC", {"multi_label": True}, marks),
        ("AUC", {}, binary, [10, 8, 6]),
        *[(name, config, data) for name in ("Precision", "Recall") for config, data in (
            ({}, binary),
            ({"thresholds": 0.3}, binary),
            ({"thresholds": [0.25, 0.5, 0.75]}, binary),
            ({"class_id": 2}, classes),
            ({"top_k": 2}, classes),
            ({"top_k": 2, "class_id": 1}, classes),
            ({}, marks),
        )],
        *[("F1Score", {"average": average}, classes) for average in (None, "micro", "macro", "weighted")],
        ("F1Score", {"average": "macro", "threshold": 0.4}, marks),
        ("F1Score", {"threshold": 0.5}, column),
        ("MeanAbsoluteError", {}, values),
        ("MeanSquaredError", {}, values),
        ("RootMeanSquaredError", {}, values),
        ("RootMeanSquaredError", {}, values, [16, 8]),
        *[("R2Score", {"class_aggregation": how}, values) for how in (None, "uniform_average", "variance_weighted_average")],
        ("R2Score", {"num_regressors": 2}, values),
        ("MeanAbsolutePercentageError", {}, values),
        ("BinaryCrossentropy", {}, column),
        ("BinaryCrossentropy", {"label_smoothing": 0.1}, marks),
        ("BinaryCrossentropy", {"from_logits": True}, (marks[0], rounded(3 * marks[1] - 1))),
        ("CategoricalCrossentropy", {}, classes),
        ("CategoricalCrossentropy", {"from_logits": True}, logits),
        ("CategoricalCrossentropy", {"label_smoothing": 0.1}, classes),
        ("SparseCategoricalCrossentropy", {}, sparse),
        ("SparseCategoricalCrossentropy", {"from_logits": True}, (sparse[0], logits[1])),
    ]
    for name, config, (y_true, y_pred), *batches in table:
        for sample_weight in (None, weights):
            metric, first = getattr(keras.metrics, name)(**config), 0
            for size in batches[0] if batches else [n]:
                rows = slice(first, first + size)
                metric.update_state(y_true[rows], y_pred[rows], None if sample_weight is None else sample_weight[rows])
                first += size
            decimal = lambda x: np.vectorize(lambda x: round(float(x), 4))(x).tolist()
            result = np.vectorize(number)(np.asarray(metric.result())).tolist()
            entry = {"name": name, "config": config, "y_true": decimal(y_true), "y_pred": decimal(y_pred)}
            entry |= {} if sample_weight is None else {"sample_weight": decimal(sample_weight)}
            yield entry | ({"batches": batches[0]} if batches else {}) | {"result": result}


warnings.filterwarnings("ignore")
main()
