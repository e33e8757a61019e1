"""Clients of the Open Inference Protocol that others wrote, against running servers: python clients.py URL UNMANAGED.

Both serve these fixtures, whose answers Keras recorded, and ECHO, which answers four values a row with themselves. Who
calls the former may manage its models."""

import asyncio, importlib.util, json, os, re, sys, traceback, types
from contextlib import contextmanager

import ml_dtypes, numpy as np
import tritonclient.http as triton
import tritonclient.http.aio as triton_aio
from tritonclient.utils import InferenceServerException, np_to_triton_dtype

# The package itself imports kserve's server and Kubernetes; the client alone does without.
kserve = types.ModuleType("kserve")
kserve.__path__ = importlib.util.find_spec("kserve").submodule_search_locations
sys.modules["kserve"] = kserve
import httpx
import open_inference.openapi as generated
from kserve.inference_client import InferenceRESTClient, RESTConfig
from kserve.protocol.infer_type import InferInput, InferRequest, RequestedOutput
from open_inference.openapi.client import OpenInferenceClient

URL, UNMANAGED = sys.argv[1:]
HOST = URL.removeprefix("http://")
FIXTURES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../fixtures")
MNIST, FUNCTIONAL, BRANCHES, EMBEDDINGS, ECHO = "mnist_784_128_128_10", "functional_100_64_10", "branches", "embeddings", "echo"
TOLERANCE = 1e-5
client = triton.InferenceServerClient(HOST)


def main():
    failed = 0
    for check in CHECKS:
        try:
            asyncio.run(check()) if asyncio.iscoroutinefunction(check) else check()
        except Exception:
            failed += 1
            print(f"FAILED: {check.__name__}\n{traceback.format_exc()}")
    print(f"{len(CHECKS) - failed} of {len(CHECKS)} checks of clients passed")
    sys.exit(1 if failed else 0)


class Recorded:
    """What a fixture was given, and answered, by the names that the server says."""

    def __init__(self, name):
        self.name = name
        self.metadata = client.get_model_metadata(name)
        record = np.load(f"{FIXTURES}/{name}.io.npz")
        ports = lambda kind, tensors: {t["name"]: record[key] for t in tensors for key in (f"{kind}:{t['name']}", f"{kind}:") if key in record}
        self.inputs, self.outputs = ports("in", self.metadata["inputs"]), ports("out", self.metadata["outputs"])
        assert self.inputs and len(self.inputs) + len(self.outputs) == len(record.files), (name, record.files)

    def rows(self, rows):
        return {name: x[rows] for name, x in self.inputs.items()}

    def matches(self, answer, rows=slice(None)):
        for name, expected in self.outputs.items():
            close(answer.as_numpy(name), expected[rows])

    def matches_kserve(self, answer, rows=slice(None)):
        assert [output.name for output in answer.outputs] == list(self.outputs)
        for output in answer.outputs:
            close(output.as_numpy(), self.outputs[output.name][rows])


def close(answer, expected):
    assert answer.dtype == np.float32 and answer.shape == expected.shape, (answer.dtype, answer.shape, expected.shape)
    np.testing.assert_allclose(answer, expected, rtol=0, atol=TOLERANCE)


def tensors(arrays, binary=True, datatype=None, api=triton):
    return [
        api.InferInput(name, list(x.shape), datatype or np_to_triton_dtype(x.dtype)).set_data_from_numpy(x, binary_data=binary)
        for name, x in arrays.items()
    ]


def infer(name, arrays, binary=True, **options):
    return client.infer(name, tensors(arrays, binary), **options)


@contextmanager
def refused(status, *words):
    """Fails unless the server refuses with this status, and says these words."""
    try:
        yield
    except InferenceServerException as error:
        said = error.message(), error.status()
    except httpx.HTTPStatusError as error:
        said = str(error), str(error.response.status_code)
    else:
        raise AssertionError(f"not refused: {words}")
    assert said[1] == str(status) and all(word in said[0] for word in words), (said, status, words)


# ---- tritonclient ----


def health():
    assert client.is_server_live() and client.is_server_ready()
    assert client.is_model_ready(MNIST) and client.is_model_ready(MNIST, "1")
    assert not client.is_model_ready("nowhere") and not client.is_model_ready(MNIST, "2")
    # Queries and headers of one's own are of no account.
    assert client.is_server_live(query_params={"a": 1, "b": ["x y", "&"]}, headers={"X-Trace": "7"})


def server_metadata():
    metadata = client.get_server_metadata()
    assert metadata["name"] == "nearside" and re.fullmatch(r"\d+\.\d+\.\d+.*", metadata["version"]), metadata
    assert {"binary_tensor_data", "classification", "model_configuration", "model_repository", "statistics"} <= set(metadata["extensions"])


def model_metadata():
    metadata = client.get_model_metadata(MNIST)
    assert metadata["name"] == MNIST and metadata["versions"] == ["1"] and metadata["platform"]
    assert [(t["datatype"], t["shape"]) for t in metadata["inputs"]] == [("FP32", [-1, 784])]
    assert [(t["datatype"], t["shape"]) for t in metadata["outputs"]] == [("FP32", [-1, 10])]
    assert client.get_model_metadata(MNIST, "1") == metadata
    two = client.get_model_metadata(BRANCHES)
    assert {t["name"]: t["shape"] for t in two["inputs"]} == {"a": [-1, 2, 3], "b": [-1, 6]}
    assert {t["name"]: t["shape"] for t in two["outputs"]} == {"first": [-1, 3], "second": [-1, 2]}
    with refused(404, "nowhere"):
        client.get_model_metadata("nowhere")
    with refused(404, MNIST, "'2'"):
        client.get_model_metadata(MNIST, "2")


def model_config():
    config, metadata = client.get_model_config(BRANCHES), client.get_model_metadata(BRANCHES)
    assert config["name"] == BRANCHES and config["max_batch_size"] > 1
    for kind in ("input", "output"):
        described = [(t["name"], f"TYPE_{t['datatype']}", t["shape"][1:]) for t in metadata[f"{kind}s"]]
        assert [(t["name"], t["data_type"], t["dims"]) for t in config[kind]] == described
    assert client.get_model_config(BRANCHES, "1") == config


def repository_index():
    index = client.get_model_repository_index()
    assert {(m["name"], m["version"], m["state"]) for m in index} >= {(m, "1", "READY") for m in (MNIST, FUNCTIONAL, BRANCHES, EMBEDDINGS, ECHO)}


def loading():
    functional = Recorded(FUNCTIONAL)
    client.unload_model(FUNCTIONAL)
    assert not client.is_model_ready(FUNCTIONAL)
    state = {m["name"]: m["state"] for m in client.get_model_repository_index()}
    assert state[FUNCTIONAL] == "UNAVAILABLE" and state[MNIST] == "READY"
    with refused(503, FUNCTIONAL, "unloaded"):
        infer(FUNCTIONAL, functional.inputs)
    client.load_model(FUNCTIONAL)
    assert client.is_model_ready(FUNCTIONAL)
    functional.matches(infer(FUNCTIONAL, functional.inputs))
    for call in (client.load_model, client.unload_model):
        with refused(404, "nowhere"):
            call("nowhere")
    with triton.InferenceServerClient(UNMANAGED.removeprefix("http://")) as unmanaged:
        for options in ({}, {"config": "{}", "files": {"file:1/model.h5": bytes(2**20)}}):
            with refused(403, "manage", FUNCTIONAL):
                unmanaged.load_model(FUNCTIONAL, **options)
        with refused(403, "manage", FUNCTIONAL):
            unmanaged.unload_model(FUNCTIONAL)
        assert unmanaged.is_model_ready(FUNCTIONAL)


def loading_files():
    with open(f"{FIXTURES}/{FUNCTIONAL}.h5", "rb") as file:
        client.load_model("sent", config=json.dumps({"max_batch_size": 8}), files={"file:3/model.h5": file.read()})
    assert client.is_model_ready("sent", "3") and client.get_model_config("sent")["max_batch_size"] == 8
    functional = Recorded(FUNCTIONAL)
    functional.matches(infer("sent", functional.inputs, model_version="3"))
    with refused(400, "not a model file"):
        client.load_model("broken", config="{}", files={"file:1/x": b"no model"})
    assert not client.is_model_ready("broken")
    client.unload_model("sent", unload_dependents=True)
    assert not client.is_model_ready("sent")


def statistics():
    def count(kind="success"):
        [stats] = client.get_inference_statistics(MNIST, "1")["model_stats"]
        assert stats["name"] == MNIST and stats["version"] == "1"
        assert {"success", "fail", "queue", "compute_input", "compute_infer", "compute_output"} <= set(stats["inference_stats"])
        return np.array([stats["inference_stats"][kind]["count"], stats["inference_count"], stats["execution_count"]])

    before, failed = count(), count("fail")[0]
    infer(MNIST, Recorded(MNIST).rows(slice(5)))
    assert list(count() - before) == [1, 5, 1]
    with refused(400):
        infer(MNIST, {"wrong": np.zeros((1, 784), np.float32)})
    assert count("fail")[0] == failed + 1
    assert {MNIST, FUNCTIONAL, BRANCHES} <= {stats["name"] for stats in client.get_inference_statistics()["model_stats"]}
    with refused(404, "nowhere"):
        client.get_inference_statistics("nowhere")


def answers_as_keras():
    """Tensors as JSON and as bytes, both ways."""
    for recorded in map(Recorded, (MNIST, FUNCTIONAL, BRANCHES, EMBEDDINGS)):
        for binary in (False, True):
            recorded.matches(infer(recorded.name, recorded.inputs, binary))
            outputs = [triton.InferRequestedOutput(name, binary_data=False) for name in recorded.outputs]
            answer = infer(recorded.name, recorded.inputs, binary, outputs=outputs, model_version="1")
            recorded.matches(answer)
            assert (answer.get_response()["model_name"], answer.get_response()["model_version"]) == (recorded.name, "1")
            assert all("data" in output for output in answer.get_response()["outputs"])
        # Some inputs in either form: bytes follow in the order of those that have them.
        mixed = [t for i, (name, x) in enumerate(recorded.inputs.items()) for t in tensors({name: x}, binary=i % 2 == 1)]
        recorded.matches(client.infer(recorded.name, mixed[::-1]))


def batches():
    mnist = Recorded(MNIST)
    for size in range(1, 65):
        rows = slice(size, 2 * size)
        mnist.matches(infer(MNIST, mnist.rows(rows), binary=size % 8 != 0), rows)


def datatypes():
    """ECHO's answer is NumPy's conversion to FP32, at the limits of each datatype as well."""
    nan = float("nan")
    for kind in (np.bool_, np.uint8, np.uint16, np.uint32, np.uint64, np.int8, np.int16, np.int32, np.int64):
        limits = [False, True] if kind == np.bool_ else [np.iinfo(kind).min, np.iinfo(kind).max]
        x = np.array([[*limits, 1, 0], [0, 1, 1, 0]], kind)
        for binary in (True, False):
            np.testing.assert_array_equal(infer(ECHO, {"x": x}, binary).as_numpy("y"), x.astype(np.float32))
    for kind in (np.float16, ml_dtypes.bfloat16, np.float32, np.float64):
        info = ml_dtypes.finfo(kind)
        limits = np.array([info.max, info.min, info.tiny, info.smallest_subnormal], kind)
        finite = np.stack([limits, np.array([0.1, -1 / 3, 2.5, -0.0], kind)])
        if kind == np.float64:
            finite[0] = np.finfo(np.float32).max, 16777217, 1e-45, 1e-300
        odd = np.array([[nan, float("inf"), -float("inf"), 1]], kind)
        for x, binary in ((finite, True), (odd, True), (finite, False)):
            if kind == ml_dtypes.bfloat16 and not binary:
                continue  # the client refuses to
            answer = infer(ECHO, {"x": x}, binary).as_numpy("y")
            np.testing.assert_array_equal(answer, x.astype(np.float32))
            np.testing.assert_array_equal(np.signbit(answer), np.signbit(x))


def whole_numbers():
    """Inputs that a model takes whole, in every datatype that holds them."""
    embeddings = Recorded(EMBEDDINGS)
    for kind in (np.uint8, np.uint16, np.uint32, np.uint64, np.int8, np.int16, np.int32, np.int64, np.float16, ml_dtypes.bfloat16, np.float64):
        arrays = {name: x.astype(kind) for name, x in embeddings.inputs.items()}
        assert all((x == embeddings.inputs[name]).all() for name, x in arrays.items())
        embeddings.matches(infer(EMBEDDINGS, arrays))


def requested_outputs():
    branches = Recorded(BRANCHES)
    for names in (["first"], ["second"], ["second", "first"], ["first", "second"]):
        for binary in (True, False):
            outputs = [triton.InferRequestedOutput(name, binary_data=binary ^ (name == "first")) for name in names]
            answer = infer(BRANCHES, branches.inputs, outputs=outputs)
            assert [output["name"] for output in answer.get_response()["outputs"]] == names
            for name in names:
                close(answer.as_numpy(name), branches.outputs[name])
            assert answer.as_numpy("third") is None
    with refused(400, "third", "first", "second"):
        infer(BRANCHES, branches.inputs, outputs=[triton.InferRequestedOutput("third")])


def classification():
    mnist = Recorded(MNIST)
    [(name, expected)] = mnist.outputs.items()
    for binary in (True, False):
        answer = infer(MNIST, mnist.inputs, outputs=[triton.InferRequestedOutput(name, binary_data=binary, class_count=3)])
        assert answer.get_output(name)["datatype"] == "BYTES"
        found = answer.as_numpy(name)
        assert found.shape == (256, 3)
        for row, probabilities in zip(found, expected):
            fields = [(text.decode() if binary else text).split(":") for text in row]
            values, classes = [float(value) for value, *_ in fields], [int(index) for _, index, *_ in fields]
            np.testing.assert_allclose(values, np.sort(probabilities)[::-1][:3], rtol=0, atol=TOLERANCE)
            np.testing.assert_allclose(probabilities[classes], values, rtol=0, atol=TOLERANCE)
    all_of_them = infer(MNIST, mnist.rows(slice(1)), outputs=[triton.InferRequestedOutput(name, class_count=99)])
    assert all_of_them.as_numpy(name).shape == (1, 10)


def compression():
    mnist = Recorded(MNIST)
    for request in (None, "gzip", "deflate"):
        for response in (None, "gzip", "deflate"):
            for binary in (True, False):
                mnist.matches(infer(MNIST, mnist.inputs, binary, request_compression_algorithm=request, response_compression_algorithm=response))
    with refused(415, "content-encoding", "br"):
        infer(MNIST, mnist.inputs, headers={"Content-Encoding": "br"})
    with refused(400, "body"):
        infer(MNIST, mnist.inputs, headers={"Content-Encoding": "gzip"})
    # The connection outlives what was refused unread.
    mnist.matches(infer(MNIST, mnist.inputs))


def ids_and_parameters():
    mnist = Recorded(MNIST)
    one, first = mnist.rows(slice(1)), slice(1)
    for name in ("7", "a b/ü🙂", '"\\'):
        answer = infer(MNIST, one, request_id=name, parameters={"trace": "ü", "level": 3, "on": True, "rate": 0.5})
        assert answer.get_response()["id"] == name
        mnist.matches(answer, first)
    assert "id" not in infer(MNIST, one).get_response()
    mnist.matches(infer(MNIST, one, timeout=60_000_000, headers={"X-Trace": "7"}, query_params={"a": "b"}), first)
    mnist.matches(infer(MNIST, one, timeout=0), first)
    with refused(504, "timeout"):
        infer(MNIST, one, timeout=1)
    with refused(400, "timeout", "microseconds"):
        infer(MNIST, one, timeout=-1)
    # What would be acted on by Triton, and is not here, is not passed over in silence.
    with refused(400, "priority"):
        infer(MNIST, one, priority=1)
    with refused(400, "sequence_id"):
        infer(MNIST, one, sequence_id=5, sequence_start=True)


def refusals():
    mnist, branches = Recorded(MNIST), Recorded(BRANCHES)
    one = mnist.rows(slice(1))
    [name] = one
    for binary in (True, False):
        with refused(404, "nowhere"):
            infer("nowhere", one, binary)
        with refused(404, "'9'", MNIST):
            infer(MNIST, one, binary, model_version="9")
        with refused(400, name, "[1,783]", "[-1,784]"):
            infer(MNIST, {name: one[name][:, 1:]}, binary)
        with refused(400, name, "[784]", "[-1,784]"):
            infer(MNIST, {name: one[name][0]}, binary)
        with refused(400, name, "[0,784]"):
            infer(MNIST, {name: one[name][:0]}, binary)
        with refused(400, "wrong", name):
            infer(MNIST, {"wrong": one[name]}, binary)
        with refused(400, name, "BYTES", "FP32"):
            infer(MNIST, {name: one[name].astype(object)}, binary)
        with refused(400, "'b'", "missing"):
            infer(BRANCHES, {"a": branches.inputs["a"]}, binary)
        with refused(400, "'b'", "3", "4"):
            infer(BRANCHES, {"a": branches.inputs["a"], "b": branches.inputs["b"][:3]}, binary)
    with refused(400):
        # In JSON that is no JSON, as the client writes it.
        infer(ECHO, {"x": np.full((1, 4), np.nan, np.float32)}, binary=False)
    with refused(400, "binary_data"):
        infer(ECHO, {"x": np.full((1, 4), np.nan, np.float32)}, outputs=[triton.InferRequestedOutput("y", binary_data=False)])
    shared = triton.InferInput(name, [1, 784], "FP32").set_shared_memory("region", 3136)
    with refused(400, "shared_memory"):
        client.infer(MNIST, [shared])
    with refused(404):
        client.get_log_settings()


def many_at_once():
    mnist = Recorded(MNIST)
    with triton.InferenceServerClient(HOST, concurrency=16) as parallel:
        asked = [parallel.async_infer(MNIST, tensors(mnist.rows([row])), request_id=str(row)) for row in range(256)]
        for row, request in enumerate(asked):
            answer = request.get_result()
            assert answer.get_response()["id"] == str(row)
            mnist.matches(answer, [row])


async def many_at_once_by_asyncio():
    """One client's connections, a hundred at once, with the compression that aiohttp asks for."""
    mnist, branches = Recorded(MNIST), Recorded(BRANCHES)
    async with triton_aio.InferenceServerClient(HOST) as parallel:
        assert await parallel.is_server_ready() and await parallel.is_model_ready(MNIST)

        async def ask(recorded, row, binary):
            answer = await parallel.infer(recorded.name, tensors(recorded.rows([row]), binary), request_id=str(row), request_compression_algorithm="gzip")
            assert answer.get_response()["id"] == str(row)
            recorded.matches(answer, [row])

        await asyncio.gather(*(ask(mnist, row, row % 2 == 0) for row in range(256)), *(ask(branches, row % 4, row % 8 < 4) for row in range(64)))


# ---- kserve ----


async def kserve_health():
    async with InferenceRESTClient(RESTConfig(protocol="v2")) as client:
        assert await client.is_server_live(URL) is True
        assert await client.is_server_ready(URL) is True
        assert await client.is_model_ready(URL, MNIST) is True
        assert await client.is_model_ready(URL, "nowhere") is False


async def kserve_answers_as_keras():
    async with InferenceRESTClient(RESTConfig(protocol="v2")) as client:
        for recorded in map(Recorded, (MNIST, FUNCTIONAL, BRANCHES, EMBEDDINGS)):
            for binary in (True, False):
                for parameters in ({"binary_data_output": True}, None):
                    request = InferRequest(recorded.name, kserve_inputs(recorded.inputs, binary), request_id="7", parameters=parameters)
                    headers = {}
                    answer = await client.infer(URL, request, recorded.name, response_headers=headers)
                    assert (answer.id, answer.model_name) == ("7", recorded.name)
                    assert ("inference-header-content-length" in headers) == (parameters is not None)
                    recorded.matches_kserve(answer)


async def kserve_datatypes():
    async with InferenceRESTClient(RESTConfig(protocol="v2")) as client:
        for kind in (np.bool_, np.uint8, np.uint16, np.uint32, np.uint64, np.int8, np.int16, np.int32, np.int64, np.float16, np.float32, np.float64):
            x = np.array([[0, 1, 1, 0], [1, 0, 0, 1]], kind)
            for binary in (True, False):
                if kind == np.float16 and not binary:
                    continue  # the client refuses to
                answer = await client.infer(URL, InferRequest(ECHO, kserve_inputs({"x": x}, binary)), ECHO)
                np.testing.assert_array_equal(answer.outputs[0].as_numpy(), x.astype(np.float32))


async def kserve_requests():
    branches = Recorded(BRANCHES)
    async with InferenceRESTClient(RESTConfig(protocol="v2")) as client:
        for binary in (True, False):
            outputs = [RequestedOutput("second", {"binary_data": binary})]
            answer = await client.infer(URL, InferRequest(BRANCHES, kserve_inputs(branches.inputs, True), request_outputs=outputs), BRANCHES)
            assert [output.name for output in answer.outputs] == ["second"] and answer.id
            close(answer.outputs[0].as_numpy(), branches.outputs["second"])
        message = {"inputs": [{"name": name, "shape": x.shape, "datatype": "FP32", "data": x.tolist()} for name, x in branches.inputs.items()]}
        branches.matches_kserve(await client.infer(URL, message, BRANCHES))
        with refused(404, "nowhere"):
            await client.infer(URL, message, "nowhere")
        with refused(400, "'b'", "missing"):
            await client.infer(URL, InferRequest(BRANCHES, kserve_inputs(branches.rows(slice(1)), True)[:1]), BRANCHES)
        with refused(400, "third"):
            await client.infer(URL, InferRequest(BRANCHES, kserve_inputs(branches.inputs, False), request_outputs=[RequestedOutput("third")]), BRANCHES)


async def kserve_many_at_once():
    mnist = Recorded(MNIST)
    async with InferenceRESTClient(RESTConfig(protocol="v2")) as client:
        requests = [InferRequest(MNIST, kserve_inputs(mnist.rows([row]), row % 2 == 0), request_id=str(row)) for row in range(256)]
        for row, answer in enumerate(await asyncio.gather(*(client.infer(URL, request, MNIST) for request in requests))):
            assert answer.id == str(row)
            mnist.matches_kserve(answer, [row])


def kserve_inputs(arrays, binary):
    inputs = []
    for name, x in arrays.items():
        inputs.append(InferInput(name, list(x.shape), np_to_triton_dtype(x.dtype)))
        inputs[-1].set_data_from_numpy(x, binary_data=binary)
    return inputs


# ---- open-inference-openapi, generated from the protocol's description ----


def generated_answers_as_keras():
    client = OpenInferenceClient(base_url=URL)
    client.check_server_liveness()
    client.check_server_readiness()
    assert client.read_server_metadata().name == "nearside"
    for recorded in map(Recorded, (MNIST, FUNCTIONAL, BRANCHES, EMBEDDINGS)):
        client.check_model_readiness(recorded.name)
        client.check_model_version_readiness(recorded.name, "1")
        metadata = client.read_model_metadata(recorded.name)
        assert {t.name: t.shape[1:] for t in metadata.inputs} == {name: list(x.shape[1:]) for name, x in recorded.inputs.items()}
        assert client.read_model_version_metadata(recorded.name, "1") == metadata
        inputs = [generated.RequestInput(name=name, shape=x.shape, datatype="FP32", data=x.tolist()) for name, x in recorded.rows(slice(4)).items()]
        outputs = [generated.RequestOutput(name=name) for name in recorded.outputs]
        for request in (generated.InferenceRequest(inputs=inputs), generated.InferenceRequest(id="7", inputs=inputs, outputs=outputs, parameters={"a": 1})):
            for answer in (client.model_infer(recorded.name, request=request), client.model_version_infer(recorded.name, "1", request=request)):
                assert answer.id == request.id and [t.name for t in answer.outputs] == list(recorded.outputs)
                for t in answer.outputs:
                    close(np.array(t.data.__root__, np.float32).reshape(t.shape), recorded.outputs[t.name][:4])
        try:
            client.model_infer(recorded.name, request=generated.InferenceRequest(inputs=inputs[1:]))
        except generated.BadRequestError as error:
            assert "missing" in error.body["error"]
        else:
            raise AssertionError("not refused")


CHECKS = [
    health, server_metadata, model_metadata, model_config, repository_index, answers_as_keras, batches, datatypes, whole_numbers,
    requested_outputs, classification, compression, ids_and_parameters, refusals, statistics, many_at_once, many_at_once_by_asyncio,
    loading, loading_files, kserve_health, kserve_answers_as_keras, kserve_datatypes, kserve_requests, kserve_many_at_once,
    generated_answers_as_keras,
]

main()
