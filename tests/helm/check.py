"""The claims of tests/helm/run. Each prints a line "ok NAME" or, after what is wrong, "FAIL NAME"."""
import difflib
import json
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

import yaml
from chart import CHART, KUBERNETES, ROOT, VALUES, VERSIONS, find, helm, render, resources, settings, validate
from refusals import REFUSALS

GOLDEN = ROOT / "tests/helm/golden"
BIN = ROOT / "build/release/bin"
DEFAULT = ROOT / "tests/helm/values/default.yaml"
EVERYTHING = ROOT / "tests/helm/values/everything.yaml"
TLS = ROOT / "tests/helm/values/tls-auth.yaml"
MONITORING = ROOT / "tests/helm/values/monitoring.yaml"
failed = False


def claim(name, check, *arguments):
    global failed
    try:
        check(*arguments)
        print("ok", name, flush=True)
    except Exception as error:  # One claim that cannot even be looked at keeps none of the others back.
        print(f"{error if isinstance(error, AssertionError) else repr(error)}\nFAIL {name}", flush=True)
        failed = True


def expect_equal(got, expected, what):
    assert got == expected, f"{what} is {got!r} and not {expected!r}"


# Each file of values.


def lints(values):
    out, errors, code = helm("lint", "--strict", CHART, f"--kube-version={KUBERNETES}", f"--values={values}")
    assert code == 0 and not errors, out + errors


def is_valid(values, version):
    # Before 1.30 there is no action `sleep`; that the chart says so is one of REFUSALS.
    more = ["--set=preStopSleepSeconds=0"] if version.startswith("1.27") else []
    for resource in resources(render(values, *more, version=version)):
        validate(resource, version)


def without_linked_files(text):
    """Alerts and dashboard have claims of their own: a change of theirs is none of the chart."""
    for name, indent in [("alerts.yaml", "  "), ("dashboard.json", "    ")]:
        lines = (CHART / "files" / name).read_text().rstrip().split("\n")
        text = text.replace("\n".join(indent + line for line in lines), f"{indent}(files/{name})")
    return text


def equals_golden(values):
    golden = GOLDEN / values.name
    got = without_linked_files(render(values))
    if "--update" in sys.argv:
        golden.write_text(got)
    expected = golden.read_text() if golden.exists() else ""
    difference = difflib.unified_diff(expected.splitlines(), got.splitlines(), str(golden.relative_to(ROOT)), "rendered", lineterm="")
    assert got == expected, "\n".join(difference) + "\ntests/helm/run --update takes it over"


def fits_together(values):
    """Selectors meet the pod's labels, mounts have volumes, ports have names, files of the settings are mounted."""
    text = render(values)
    stateful = find(text, "StatefulSet")
    pod = stateful["spec"]["template"]
    labels = pod["metadata"]["labels"]
    spec = pod["spec"]
    server = spec["containers"][0]
    selectors = [stateful["spec"]["selector"]["matchLabels"]]
    ports = {port["name"] for port in server["ports"]}
    for one in resources(text):
        match one["kind"]:
            case "Service":
                selectors.append(one["spec"]["selector"])
                assert {port["targetPort"] for port in one["spec"]["ports"]} <= ports, f"{one['spec']['ports']} beside {ports}"
            case "PodDisruptionBudget":
                selectors.append(one["spec"]["selector"]["matchLabels"])
            case "NetworkPolicy":
                selectors.append(one["spec"]["podSelector"]["matchLabels"])
                used = {port["port"] for rule in one["spec"]["ingress"] for port in rule["ports"]}
                assert used <= ports, f"{used} beside {ports}"
            case "ServiceMonitor":
                wanted = one["spec"]["selector"]["matchLabels"].items()
                services = [s for s in resources(text) if s["kind"] == "Service" and wanted <= s["metadata"]["labels"].items()]
                expect_equal([s["metadata"]["name"] for s in services], [stateful["spec"]["serviceName"]], "what is scraped")
                jobs = [endpoint["relabelings"][0]["replacement"] for endpoint in one["spec"]["endpoints"]]
                expect_equal(len(set(jobs)), len(jobs), "the number of jobs")
    for selector in selectors:
        assert selector.items() <= labels.items(), f"{selector} beside the pod's {labels}"

    volumes = {volume["name"] for volume in spec["volumes"]}
    volumes |= {claim["metadata"]["name"] for claim in stateful["spec"].get("volumeClaimTemplates", [])}
    mounts = {mount["mountPath"]: mount["name"] for mount in server["volumeMounts"]}
    assert set(mounts.values()) <= volumes, f"{mounts} beside {volumes}"
    config = yaml.safe_load(settings(text))
    for path in re.findall(r"/(?:etc|var/lib)/sluice/\S+", settings(text)):
        if config["store"] == "local" or path.startswith("/etc"):
            assert any(path.startswith(mount + "/") for mount in mounts), f"{path} is in none of {list(mounts)}"
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        expect_equal(str(server[probe]["grpc"]["port"]), config["probe"].rpartition(":")[2], probe)


def is_restricted(values):
    """The Pod Security Standard `restricted` (https://kubernetes.io/docs/concepts/security/pod-security-standards/), a read-only
    root and no way to the Kubernetes API, for the containers of our own."""
    text = render(values)
    for pod in (find(text, "StatefulSet")["spec"]["template"]["spec"], find(text, "Pod")["spec"]):
        expect_equal(pod["securityContext"]["runAsNonRoot"], True, "runAsNonRoot")
        expect_equal(pod["securityContext"]["seccompProfile"]["type"], "RuntimeDefault", "seccompProfile")
        expect_equal(pod["automountServiceAccountToken"], False, "automountServiceAccountToken")
        for container in pod["containers"]:
            if container["name"] not in ("sluiced", "health"):
                continue
            context = container["securityContext"]
            expect_equal(context["allowPrivilegeEscalation"], False, "allowPrivilegeEscalation")
            expect_equal(context["capabilities"]["drop"], ["ALL"], "what is dropped")
            expect_equal(context["readOnlyRootFilesystem"], True, "readOnlyRootFilesystem")


def paths(tree, before=""):
    """The settings of a file, such as tls.cert, as flags: --tls-cert. Lists are one setting."""
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from paths(value, f"{before}{key}-")
        else:
            yield "--" + (before + key).replace("_", "-")


def schema_flags():
    schema = json.loads((CHART / "values.schema.json").read_text())
    tree = schema["$defs"]["config"]["properties"]
    nested = {key: {inner: None for inner in value["properties"]} if "properties" in value else None for key, value in tree.items()}
    return set(paths(nested))


def server_help():
    return subprocess.run([BIN / "sluiced", "--help"], capture_output=True, text=True, check=True).stdout


def server_checks(values):
    """`sluiced --check-config` on the file, with the folders it names beside it: certificates made here, the rest from files/."""
    text = settings(render(values))
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder)
        for path in re.findall(r"/etc/sluice/\S+", text):
            file = root / path.lstrip("/")
            file.parent.mkdir(parents=True, exist_ok=True)
            sample = ROOT / "tests/helm/files" / file.name
            if sample.exists():
                file.write_bytes(sample.read_bytes())
        tls = root / "etc/sluice/tls"
        tls.mkdir(parents=True, exist_ok=True)
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days=2",
                        "-subj=/CN=sluice", "-keyout", tls / "tls.key", "-out", tls / "tls.crt"], capture_output=True, check=True)
        for authorities in ("tls/ca.crt", "files/client-ca/ca.pem", "files/push-ca/ca.pem", "files/trace-ca/ca.pem"):
            file = root / "etc/sluice" / authorities
            if file.parent.exists():
                file.write_bytes((tls / "tls.crt").read_bytes())
        (root / "var/lib/sluice").mkdir(parents=True)
        file = root / "sluice.yaml"
        file.write_text(re.sub(r"/(etc|var/lib)/sluice/", rf"{folder}/\1/sluice/", text))
        done = subprocess.run([BIN / "sluiced", f"--config={file}", "--check-config"], capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr


# The chart.


def refuses(message, arguments):
    out, errors, code = helm("template", "sluice", CHART, f"--kube-version={KUBERNETES}", *arguments)
    assert code != 0, "it is taken"
    assert message in errors, f"the message has no {message!r}:\n{errors}"


def alerts_are_equal():
    expected = yaml.safe_load((ROOT / "deploy/prometheus/alerts.yaml").read_text())
    assert expected["groups"][0]["rules"], "there are no alerts"
    expect_equal(find(render(MONITORING), "PrometheusRule")["spec"], expected, "the rule")


def dashboard_is_equal():
    expected = json.loads((ROOT / "deploy/grafana/sluice.json").read_text())
    got = find(render(MONITORING), "ConfigMap", "sluice-dashboard")["data"]["sluice.json"]
    expect_equal(json.loads(got), expected, "the dashboard")


def package_is_whole():
    """The archive renders the same, away from the files that the chart's links lead to."""
    with tempfile.TemporaryDirectory() as folder:
        out, errors, code = helm("package", CHART, "--destination", folder)
        assert code == 0, errors
        (archive,) = pathlib.Path(folder).iterdir()
        out, errors, code = helm("template", "sluice", archive, "--namespace=messages", f"--kube-version={KUBERNETES}", f"--values={MONITORING}")
        assert out == render(MONITORING), errors or "it differs"


def version_is_the_programs():
    version = re.search(r"project\(sluice VERSION (\S+)", (ROOT / "CMakeLists.txt").read_text())[1]
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    expect_equal(chart["appVersion"], version, "appVersion")


def knows_every_flag():
    """What the server's command line has, the schema lets through; and the other way about once the server has it all."""
    text = server_help()
    flags = set(re.findall(r"^\s+(?:-\w,\s*)?(--[a-z][a-z-]+)", text, re.M))
    flags -= {"--help", "--version", "--config", "--check-config", "--print-config", "--print-config-reference"}
    if "--check-config" not in text:
        flags -= {"--log-format"} - schema_flags()
    assert flags, "no flags were read"
    assert flags <= schema_flags(), f"values.schema.json has no {sorted(flags - schema_flags())}"
    if "--check-config" in text:
        lists = {"--topics", "--subscriptions", "--project"}
        assert schema_flags() - lists <= flags, f"sluiced has no {sorted(schema_flags() - lists - flags)}"


def pod_of(*arguments):
    return find(render(DEFAULT, *arguments), "StatefulSet")["spec"]["template"]


def change_restarts_if_asked():
    change = "--set=config.log.level=debug"
    assert pod_of() != pod_of(change), "a change of settings leaves the pod as it is"
    expect_equal(pod_of("--set=restartOnConfigChange=false", change), pod_of("--set=restartOnConfigChange=false"), "the pod")


def expect_budget(limit, percent, budget):
    config = yaml.safe_load(settings(render(DEFAULT, f"--set=resources.limits.memory={limit},memoryBudgetPercent={percent}")))
    expect_equal(config["memory_budget"], budget, f"the budget of {percent} % of {limit}")


def budget_follows_limit():
    for limit, percent, budget in [("1Gi", 50, "512MiB"), ("1.5Gi", 50, "768MiB"), ("2G", 25, "476MiB"), ("4294967296", 75, "3072MiB")]:
        expect_budget(limit, percent, budget)
    config = yaml.safe_load(settings(render(DEFAULT, "--set=config.memory_budget=100MiB")))
    expect_equal(config["memory_budget"], "100MiB", "a budget that is given")


def grace_follows_timeout():
    for timeout, sleep, grace in [("25s", 0, 30), ("1m30s", 5, 100), ("1500ms", 0, 7), ("1h", 0, 3605)]:
        got = pod_of(f"--set=config.shutdown_timeout={timeout},preStopSleepSeconds={sleep}")["spec"]["terminationGracePeriodSeconds"]
        expect_equal(got, grace, f"the grace of {timeout} and {sleep} s")


def notes(values):
    """What helm says after an installation. It renders that only with a cluster at hand, so it is put into a template here."""
    with tempfile.TemporaryDirectory() as folder:
        chart = pathlib.Path(folder) / "sluice"
        shutil.copytree(CHART, chart)
        text = (chart / "templates/NOTES.txt").read_text()
        (chart / "templates/_notes.tpl").write_text('{{- define "notes" -}}\n' + text + "{{- end -}}\n")
        (chart / "templates/notes.yaml").write_text('notes: {{ include "notes" . | quote }}\n')
        out, errors, code = helm("template", "sluice", chart, f"--kube-version={KUBERNETES}", f"--values={values}", "--show-only=templates/notes.yaml")
        assert code == 0, errors
        return yaml.safe_load(out)["notes"]


def notes_have_commands():
    for values, words in [(DEFAULT, ["exec sluice-0 -- /usr/bin/sluice", "Plain text", "no policy"]), (TLS, ["(TLS)", "test sluice"])]:
        text = notes(values)
        for word in words:
            assert word in text, f"the notes have no {word!r}:\n{text}"


for values in VALUES:
    name = values.stem
    claim(f"lint: {name}", lints, values)
    for version in VERSIONS:
        claim(f"valid for Kubernetes {version.rpartition('.')[0]}: {name}", is_valid, values, version)
    claim(f"as in golden/: {name}", equals_golden, values)
    claim(f"fits together: {name}", fits_together, values)
    claim(f"restricted: {name}", is_restricted, values)
    claim(f"settings are of the contract: {name}",
          lambda values: expect_equal(set(paths(yaml.safe_load(settings(render(values))))) - schema_flags(), set(), "what is unknown"), values)
    if (BIN / "sluiced").exists() and "check-config" in server_help():
        claim(f"sluiced --check-config: {name}", server_checks, values)

for message, arguments in REFUSALS:
    claim("refused: " + " ".join(arguments), refuses, message, arguments)
claim("alerts are those of deploy/prometheus", alerts_are_equal)
claim("dashboard is that of deploy/grafana", dashboard_is_equal)
claim("package is whole", package_is_whole)
claim("version is the program's", version_is_the_programs)
claim("a change of settings restarts the pod only if that is asked", change_restarts_if_asked)
claim("memory budget follows the limit", budget_follows_limit)
claim("grace follows the shutdown timeout", grace_follows_timeout)
claim("notes have commands and warnings", notes_have_commands)
if (BIN / "sluiced").exists():
    claim("every flag of sluiced is a setting", knows_every_flag)
sys.exit(failed)
