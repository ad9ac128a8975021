"""Renders the chart, and judges single resources. For check.py."""
import functools
import os
import pathlib
import subprocess

import jsonschema
import kubernetes_validate
import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
CHART = ROOT / "deploy/helm/sluice"
VALUES = sorted((ROOT / "tests/helm/values").glob("*.yaml"))
# The one of the golden files; and the oldest that the chart takes, the first with `sleep`, the newest there is a schema for.
KUBERNETES = "1.34.0"
VERSIONS = ["1.27.0", "1.30.0", KUBERNETES, "1.37.0"]


def helm(*arguments):
    """Output, errors and exit code of helm, without its notes on links (deploy/helm/sluice/files)."""
    done = subprocess.run([os.environ["HELM"], *map(str, arguments)], capture_output=True, text=True)
    errors = [line for line in done.stderr.splitlines() if "found symbolic link in path" not in line]
    return done.stdout, "\n".join(errors).strip(), done.returncode


@functools.cache
def render(values, *more, version=KUBERNETES):
    """The text that `helm template` gives for a file of values. Fails with helm's message."""
    out, errors, code = helm("template", "sluice", CHART, "--namespace=messages", f"--kube-version={version}", f"--values={values}", *more)
    if code != 0 or errors:
        raise AssertionError(errors or f"helm ended with {code}")
    return out


def resources(text):
    return [one for one in yaml.safe_load_all(text) if one]


def find(text, kind, name=None):
    """The resource of a kind; of several the one named."""
    (one,) = [one for one in resources(text) if one["kind"] == kind and name in (None, one["metadata"]["name"])]
    return one


def settings(text):
    """The settings file within what was rendered."""
    (one,) = [one for one in resources(text) if one["kind"] == "ConfigMap" and "sluice.yaml" in one["data"]]
    return one["data"]["sluice.yaml"]


def _strict(schema):
    """A definition's schema that refuses what an API server would drop in silence."""
    if not isinstance(schema, dict):
        return schema
    strict = {key: _strict(value) for key, value in schema.items()}
    if "properties" in strict:
        # By name, not by keyword: a property may be called "properties".
        strict["properties"] = {name: _strict(value) for name, value in schema["properties"].items()}
        if "additionalProperties" not in strict and not schema.get("x-kubernetes-preserve-unknown-fields"):
            strict["additionalProperties"] = False
    if schema.get("x-kubernetes-int-or-string"):
        strict.pop("type", None)
    if isinstance(schema.get("pattern"), str):
        # Go takes a flag after the anchor, Python before it.
        strict["pattern"] = schema["pattern"].replace("^(?i)", "(?i)^")
    return strict


@functools.cache
def _definition(api_version, kind):
    group, _, version = api_version.partition("/")
    for folder in os.environ["DEFINITIONS"].split(":"):
        for file in pathlib.Path(folder).glob("*.yaml"):
            text = file.read_text()
            if f"kind: {kind}\n" not in text:
                continue
            for one in resources(text):
                if one["spec"]["group"] == group and one["spec"]["names"]["kind"] == kind:
                    (schema,) = [v["schema"]["openAPIV3Schema"] for v in one["spec"]["versions"] if v["name"] == version]
                    schema = _strict(schema)
                    schema["properties"]["metadata"] = {"type": "object"}
                    return schema
    raise AssertionError(f"no definition of {api_version} {kind}")


def validate(resource, version):
    """Fails unless the resource is one that this version of Kubernetes, or the operator it is for, takes."""
    where = f"{resource['kind']}/{resource['metadata']['name']}"
    try:
        if resource["apiVersion"].split("/")[0] in ("monitoring.coreos.com", "cert-manager.io"):
            jsonschema.validate(resource, _definition(resource["apiVersion"], resource["kind"]))
        else:
            kubernetes_validate.validate(resource, version, strict=True)
    except (jsonschema.ValidationError, kubernetes_validate.ValidationError) as error:
        raise AssertionError(f"{where}: {'.'.join(map(str, error.path))}: {error.message}") from None
