"""The protocol's own OpenAPI file against a running server: python openapi.py URL.

schemathesis makes up requests from it, right and wrong ones, and holds every answer to it. The server has the model ECHO,
which answers four values a row with themselves."""

import copy, json, os, subprocess, sys, tempfile

import yaml

URL = sys.argv[1].rstrip("/")
FILE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../fixtures/service/open_inference_rest.yaml")
# Right and wrong requests to each path are this many each, at most, besides those at the limits of each field.
CASES = 100

whole = lambda low, high: {"type": "integer", "minimum": low, "maximum": high}
# What elements of a datatype may be; but for INT64 and UINT64, whose limits are beyond what JSON's numbers tell apart.
ELEMENTS = {
    "BOOL": whole(0, 1),
    **{f"INT{bits}": whole(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) for bits in (8, 16, 32)},
    **{f"UINT{bits}": whole(0, 2**bits - 1) for bits in (8, 16, 32)},
    "FP16": {"type": "number", "minimum": -65519, "maximum": 65519},  # rounded to 65504
    **{datatype: {"type": "number", "minimum": -3e38, "maximum": 3e38} for datatype in ("BF16", "FP32", "FP64")},
}


def main():
    with open(FILE) as file:
        protocol = mended(yaml.safe_load(file))
    # As the file is, where any model, and any tensor of any shape, is right: whether it is, only the model knows.
    run("any", protocol, "--exclude-checks", "positive_data_acceptance")
    # One model and its tensors, where everything else is wrong.
    run("echo", narrowed(protocol))


def mended(protocol):
    """The file, where it contradicts inference_rest.md beside it."""
    paths, schemas = {}, protocol["components"]["schemas"]
    for path, item in protocol["paths"].items():
        # `$` would put a dollar sign before every name.
        path = path.replace("${", "{")
        paths[path] = item
        # "path contents in [] are optional": the version.
        paths[path.replace("/versions/{MODEL_VERSION}", "")] = without_version(item)
    # `v2` in the table of paths.
    paths["/v2"] = without_version(paths["/v2/"])
    for path, item in paths.items():
        if "{MODEL_NAME}" not in path:
            continue
        operation = item.get("post") or item["get"]
        # "must be indicated by an HTTP error status (typically 400)": of these paths only one has it.
        error = {"description": "Error", "content": {"application/json": {"schema": {"$ref": "#/components/schemas/inference_error_response"}}}}
        operation["responses"].update({"400": error, "404": error})
        if "requestBody" in operation:
            # "is required in the HTTP body of the POST request".
            operation["requestBody"]["required"] = True
    # "must contain the error object".
    schemas["inference_error_response"]["required"] = ["error"]
    # "be an integer representable as an unsigned 64-bit integer value".
    schemas["request_input"]["properties"]["shape"]["items"]["minimum"] = 0
    return {**protocol, "paths": paths}


def without_version(item):
    item = copy.deepcopy(item)
    item["parameters"] = [p for p in item.get("parameters", []) if p["name"] != "MODEL_VERSION"]
    for method in ("get", "post"):
        if method in item:
            item[method]["operationId"] += "-"
    return item


def narrowed(protocol):
    protocol = copy.deepcopy(protocol)
    schemas = protocol["components"]["schemas"]
    for item in protocol["paths"].values():
        for parameter in item.get("parameters", []):
            parameter["schema"] = {"enum": ["echo"] if parameter["name"] == "MODEL_NAME" else ["1"]}
    tensor = schemas["request_input"]["properties"]
    schemas["request_input"]["properties"] = {**tensor, "name": {"enum": ["x"]}, "shape": {"enum": [[1, 4]]}}
    # "The server can decide to coerce each element": here, BOOL to numbers and 0 and 1 to BOOL.
    elements = lambda values: {"type": "array", "items": {"anyOf": [values, {"type": "boolean"}]}, "minItems": 4, "maxItems": 4}
    schemas["request_input"]["anyOf"] = [
        {"properties": {"datatype": {"enum": [datatype]}, "data": elements(values)}} for datatype, values in ELEMENTS.items()
    ]
    schemas["inference_request"]["properties"]["inputs"].update(minItems=1, maxItems=1)
    schemas["inference_request"]["properties"]["outputs"].update(maxItems=1)
    schemas["request_output"]["properties"]["name"] = {"enum": ["y"]}
    return protocol


def run(name, protocol, *options):
    """By every check but those named, of which some find nothing here: the file has no authorization, and deletes nothing."""
    with tempfile.TemporaryDirectory() as folder:
        with open(f"{folder}/{name}.json", "w") as file:
            json.dump(protocol, file)
        command = [sys.executable, "-m", "schemathesis.cli", "run", f"{name}.json", "--url", URL, "--checks", "all", *options]
        # Without the phases of examples and of links between operations: the file has neither.
        command += ["--phases", "coverage,fuzzing", "--max-examples", str(CASES), "--seed", "7", "--continue-on-failure", "--warnings", "off"]
        subprocess.run(command, check=True, cwd=folder)


main()
