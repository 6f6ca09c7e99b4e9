//! The Helm chart: what it installs, and what it refuses.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::{collections::BTreeSet, fs};

use exportjob_tests::{
    chart::{NAMESPACE, folder, helm, objects, of_kind, render, template, template_release, the, title},
    programs::repository,
};
use serde_json::{Value, json};

/// Values that switch everything on that is off.
const EVERYTHING: &[&str] = &[
    "metrics.serviceMonitor.enabled=true",
    "metrics.serviceMonitor.labels.team=data",
    "networkPolicy.exportPods.namespaces={crm}",
    "networkPolicy.metricsFrom[0].namespaceSelector.matchLabels.name=monitoring",
    "imagePullSecrets[0].name=registry",
    "controller.replicas=2",
    "controller.priorityClassName=system-cluster-critical",
    "controller.podLabels.team=data",
    "controller.podAnnotations.note=x",
    "controller.logLevel=debug",
    "controller.nodeSelector.pool=system",
    "exporter.allowedImages={registry.example/exporter:*}",
    "exporter.allowedHostPaths={/data}",
    "imsOrgId=1BD6382559DF0C130A49422D@AdobeOrg",
    "serviceAccount.annotations.note=x",
];
/// Values of an install for two namespaces.
const NAMESPACED: &[&str] = &["watchNamespaces={crm,shop}"];

fn variants() -> Vec<(&'static str, Vec<Value>)> {
    let everything_namespaced: Vec<&str> = [EVERYTHING, NAMESPACED].concat();
    vec![
        ("default", render(&[])),
        ("everything", render(EVERYTHING)),
        ("namespaced", render(NAMESPACED)),
        ("everything, namespaced", render(&everything_namespaced)),
    ]
}

fn rules(object: &Value) -> &Vec<Value> {
    object["rules"].as_array().unwrap()
}

fn texts(value: &Value) -> BTreeSet<&str> {
    value
        .as_array()
        .unwrap()
        .iter()
        .map(|text| text.as_str().unwrap())
        .collect()
}

fn roles(objects: &[Value]) -> Vec<&Value> {
    [of_kind(objects, "Role"), of_kind(objects, "ClusterRole")].concat()
}

/// Pods of the chart's objects: those of Deployments and bare ones.
fn pods(objects: &[Value]) -> Vec<(String, &Value, &Value)> {
    let deployments = of_kind(objects, "Deployment").into_iter().map(|object| {
        let template = &object["spec"]["template"];
        (title(object), &template["metadata"], &template["spec"])
    });
    let bare = of_kind(objects, "Pod")
        .into_iter()
        .map(|object| (title(object), &object["metadata"], &object["spec"]));
    deployments.chain(bare).collect()
}

#[test]
fn helm_lint_has_nothing_to_say() {
    for values in [&[][..], EVERYTHING, NAMESPACED] {
        let chart = folder();
        let mut arguments = vec!["lint", "--strict", chart.to_str().unwrap()];
        arguments.extend(values.iter().flat_map(|value| ["--set", value]));
        let finished = helm(&arguments);
        assert!(finished.code == Some(0), "{values:?}\n{}", finished.everything());
        assert!(
            !finished.everything().contains("[WARNING]"),
            "{}",
            finished.everything()
        );
    }
}

#[test]
fn a_namespaced_install_has_no_cluster_wide_rights() {
    let objects = render(&[EVERYTHING, NAMESPACED].concat());
    for object in &objects {
        let kind = object["kind"].as_str().unwrap();
        assert!(
            !matches!(kind, "ClusterRole" | "ClusterRoleBinding"),
            "{}",
            title(object)
        );
        assert!(
            kind == "CustomResourceDefinition" || object["metadata"]["namespace"].is_string(),
            "{} is not in a namespace",
            title(object)
        );
    }
    let places: BTreeSet<&str> = of_kind(&objects, "RoleBinding")
        .iter()
        .map(|role| role["metadata"]["namespace"].as_str().unwrap())
        .collect();
    assert_eq!(places, BTreeSet::from(["crm", "shop", NAMESPACE]));
    let environment = &the(&objects, "Deployment")["spec"]["template"]["spec"]["containers"][0]["env"];
    let watched = environment
        .as_array()
        .unwrap()
        .iter()
        .find(|one| one["name"] == "EXPORTJOB_WATCH_NAMESPACES");
    assert_eq!(watched.unwrap()["value"], "crm,shop");
}

#[test]
fn the_rights_in_a_namespace_are_the_same_in_both_kinds_of_install() {
    let cluster = render(&["rbac.aggregate=false"]);
    let namespaced = render(NAMESPACED);
    let wide = rules(the(&cluster, "ClusterRole"));
    for namespace in ["crm", "shop"] {
        let role = of_kind(&namespaced, "Role").into_iter().find(|role| {
            role["metadata"]["namespace"] == namespace && role["metadata"]["name"] == "release-name-exportjob-operator"
        });
        assert_eq!(rules(role.unwrap()), wide, "{namespace}");
    }
}

#[test]
fn no_rule_is_wider_than_what_the_controller_does() {
    let forbidden_verbs = ["*", "deletecollection", "escalate", "bind", "impersonate"];
    let forbidden_resources = [
        "*",
        "secrets",
        "pods/exec",
        "pods/log",
        "pods/attach",
        "pods/ephemeralcontainers",
        "nodes",
        "serviceaccounts/token",
    ];
    for (variant, objects) in variants() {
        // Rights of people are theirs: who may edit may delete all.
        let of_controller = |role: &&Value| role["metadata"]["labels"]["app.kubernetes.io/component"] == "controller";
        for role in roles(&objects).into_iter().filter(of_controller) {
            for rule in rules(role) {
                let said = format!("{variant}: {}: {rule}", title(role));
                assert!(!texts(&rule["apiGroups"]).contains("*"), "{said}");
                assert!(
                    texts(&rule["resources"]).is_disjoint(&BTreeSet::from(forbidden_resources)),
                    "{said}"
                );
                assert!(
                    texts(&rule["verbs"]).is_disjoint(&BTreeSet::from(forbidden_verbs)),
                    "{said}"
                );
            }
        }
    }
    let all = render(&[]);
    let mutable = rules(
        of_kind(&all, "ClusterRole")
            .into_iter()
            .find(|role| title(role).ends_with("operator\""))
            .unwrap(),
    );
    let pods = mutable
        .iter()
        .find(|rule| texts(&rule["resources"]).contains("pods"))
        .unwrap();
    assert_eq!(pods["verbs"], json!(["list", "watch"]), "pods are the Jobs' business");
}

#[test]
fn people_get_no_right_to_write_the_status() {
    for role in of_kind(&render(&[]), "ClusterRole") {
        for rule in rules(role) {
            let writes = !texts(&rule["verbs"]).is_subset(&BTreeSet::from(["get", "list", "watch"]));
            let status = texts(&rule["resources"]).iter().any(|name| name.ends_with("/status"));
            let person = role["metadata"]["labels"]["app.kubernetes.io/component"] != "controller";
            assert!(!(writes && status && person), "{}", title(role));
        }
    }
}

#[test]
fn every_rule_says_its_reason() {
    let text = fs::read_to_string(folder().join("templates/_rules.tpl")).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let rules: Vec<usize> = (0..lines.len())
        .filter(|at| lines[*at].starts_with("- apiGroups"))
        .collect();
    assert!(!rules.is_empty());
    for at in rules {
        assert!(
            lines[at - 1].starts_with('#'),
            "line {}: {} has no comment above it",
            at + 1,
            lines[at]
        );
    }
}

#[test]
fn every_pod_meets_the_restricted_standard() {
    for (variant, objects) in variants() {
        let pods = pods(&objects);
        assert_eq!(pods.len(), 2, "{variant}: the controller and the test");
        for (name, _, spec) in pods {
            let pod = &spec["securityContext"];
            assert_eq!(pod["runAsNonRoot"], true, "{variant}: {name}");
            assert!(pod["runAsUser"].as_u64().unwrap() > 0, "{variant}: {name}");
            assert_eq!(pod["seccompProfile"]["type"], "RuntimeDefault", "{variant}: {name}");
            for field in ["hostNetwork", "hostPID", "hostIPC", "volumes"] {
                assert!(spec[field].is_null(), "{variant}: {name}: {field}");
            }
            for container in spec["containers"].as_array().unwrap() {
                let expected = json!({"allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "capabilities": {"drop": ["ALL"]}});
                assert_eq!(container["securityContext"], expected, "{variant}: {name}");
                let resources = &container["resources"];
                assert!(resources["requests"]["cpu"].is_string(), "{variant}: {name}");
                assert!(resources["requests"]["memory"].is_string(), "{variant}: {name}");
                assert!(resources["limits"]["memory"].is_string(), "{variant}: {name}");
            }
        }
    }
}

#[test]
fn only_the_controller_gets_a_token() {
    let objects = render(&[]);
    assert_eq!(the(&objects, "ServiceAccount")["automountServiceAccountToken"], false);
    assert_eq!(
        the(&objects, "Deployment")["spec"]["template"]["spec"]["automountServiceAccountToken"],
        true
    );
    assert_eq!(the(&objects, "Pod")["spec"]["automountServiceAccountToken"], false);
}

#[test]
fn unknown_values_are_refused_by_name() {
    let cases = [
        "unknownValue=1",
        "controller.replica=2",
        "exporter.allowedImage={x}",
        "exporter.image.tagg=x",
        "exporter.resources.limit.memory=1Gi",
        "timeouts.reference=5",
        "networkPolicy.exportPods.egresses={}",
        "metrics.serviceMonitor.enable=true",
        "crds.instal=false",
    ];
    for case in cases {
        let finished = template(&["--set", case]);
        assert_ne!(finished.code, Some(0), "{case} was accepted");
        let name = case
            .split('=')
            .next()
            .unwrap()
            .split('.')
            .rfind(|name| *name != "memory")
            .unwrap();
        assert!(finished.stderr.contains(name), "{case}: {}", finished.stderr);
    }
}

#[test]
fn values_that_cannot_work_are_refused() {
    let cases = [
        "controller.replicas=-1",
        "controller.logFormat=xml",
        "exporter.image.digest=md5:0",
        "exporter.allowedHostPaths={data}",
        "exporter.allowedImages={two words}",
        "exporter.backoffLimit=101",
        "timeouts.referenceSeconds=soon",
        "watchNamespaces={Upper}",
        "serviceAccount.create=false",
    ];
    for case in cases {
        assert_ne!(template(&["--set", case]).code, Some(0), "{case} was accepted");
    }
}

#[test]
fn values_and_schema_have_the_same_keys() {
    fn compare(path: &str, value: &Value, schema: &Value, definitions: &Value) {
        let schema = match schema["$ref"].as_str() {
            Some(reference) => &definitions[reference.rsplit('/').next().unwrap()],
            None => schema,
        };
        let (Some(value), Some(properties)) = (value.as_object(), schema["properties"].as_object()) else {
            return;
        };
        assert_eq!(schema["additionalProperties"], false, "{path} lets unknown values in");
        for (key, value) in value {
            let property = properties
                .get(key)
                .unwrap_or_else(|| panic!("{path}.{key} is not in the schema"));
            compare(&format!("{path}.{key}"), value, property, definitions);
        }
        for key in properties.keys().filter(|key| *key != "global") {
            assert!(value.contains_key(key), "{path}.{key} has no default in values.yaml");
        }
    }
    let values: Value = serde_yaml::from_str(&fs::read_to_string(folder().join("values.yaml")).unwrap()).unwrap();
    let schema: Value =
        serde_json::from_str(&fs::read_to_string(folder().join("values.schema.json")).unwrap()).unwrap();
    compare("", &values, &schema, &schema["$defs"]);
}

#[test]
fn the_chart_brings_the_definitions_of_this_repository_and_keeps_them() {
    let rendered = render(&[]);
    let definitions = of_kind(&rendered, "CustomResourceDefinition");
    let files: Vec<_> = fs::read_dir(repository().join("crds"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    assert_eq!(definitions.len(), files.len());
    for file in files {
        let ours = objects(&fs::read_to_string(&file).unwrap()).remove(0);
        let theirs = definitions
            .iter()
            .find(|found| found["metadata"]["name"] == ours["metadata"]["name"]);
        let theirs = theirs.unwrap_or_else(|| panic!("the chart lacks {}", file.display()));
        assert_eq!(theirs["spec"], ours["spec"], "{} differs", file.display());
        assert_eq!(
            theirs["metadata"]["annotations"]["helm.sh/resource-policy"],
            "keep",
            "{}",
            file.display()
        );
    }
    let without = render(&["crds.install=false"]);
    assert!(of_kind(&without, "CustomResourceDefinition").is_empty());
}

#[test]
fn names_and_labels_fit_however_long_the_release_is_called() {
    // Helm itself allows no more than 53.
    let long = "r".repeat(53);
    let finished = template_release(
        &long,
        &[
            "--set",
            &format!("fullnameOverride={}", "n".repeat(63)),
            "--set-string",
            "watchNamespaces={crm}",
        ],
    );
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
    let texts = [finished.text(), template_release(&long, &[]).text()];
    for object in texts.iter().flat_map(|text| objects(text)) {
        if object["kind"] == "CustomResourceDefinition" {
            continue;
        }
        let name = object["metadata"]["name"].as_str().unwrap();
        assert!(name.len() <= 63, "{name}");
        for (key, value) in object["metadata"]["labels"].as_object().unwrap() {
            assert!(value.as_str().unwrap().len() <= 63, "{name}: {key}");
        }
    }
}

#[test]
fn images_go_by_digest_where_one_is_given() {
    let digest = format!("sha256:{}", "0".repeat(64));
    let objects = render(&[
        "controller.image.tag=1.2.3",
        &format!("controller.image.digest={digest}"),
        "exporter.image.repository=registry.example/exporter",
        "exporter.image.tag=4.5.6",
    ]);
    let container = &the(&objects, "Deployment")["spec"]["template"]["spec"]["containers"][0];
    assert_eq!(container["image"], format!("exportjob-controller@{digest}"));
    assert!(
        container["env"]
            .as_array()
            .unwrap()
            .contains(&json!({"name": "EXPORTJOB_EXPORTER_IMAGE", "value": "registry.example/exporter:4.5.6"}))
    );
    assert_eq!(
        the(&objects, "Pod")["spec"]["containers"][0]["image"],
        format!("exportjob-controller@{digest}")
    );
}

#[test]
fn every_setting_of_the_chart_is_one_of_the_controller() {
    let known: String = ["args.rs", "settings.rs"]
        .iter()
        .map(|file| fs::read_to_string(repository().join("src/controller/src").join(file)).unwrap())
        .collect();
    let objects = render(&[EVERYTHING, NAMESPACED].concat());
    let container = &the(&objects, "Deployment")["spec"]["template"]["spec"]["containers"][0];
    for variable in container["env"].as_array().unwrap() {
        let name = variable["name"].as_str().unwrap();
        assert!(
            name == "RUST_LOG" || known.contains(name),
            "the controller does not know {name}"
        );
    }
}

#[test]
fn selectors_find_the_controller_and_nothing_else() {
    let objects = render(EVERYTHING);
    let pods = pods(&objects);
    let selectors = [
        &the(&objects, "Service")["spec"]["selector"],
        &the(&objects, "PodDisruptionBudget")["spec"]["selector"]["matchLabels"],
        &the(&objects, "Deployment")["spec"]["selector"]["matchLabels"],
        &of_kind(&objects, "NetworkPolicy")[0]["spec"]["podSelector"]["matchLabels"],
    ];
    for selector in selectors {
        for (name, meta, _) in &pods {
            let selected = selector
                .as_object()
                .unwrap()
                .iter()
                .all(|(key, value)| &meta["labels"][key] == value);
            assert_eq!(selected, name.starts_with("\"Deployment\""), "{name}: {selector}");
        }
    }
    let monitor = &the(&objects, "ServiceMonitor")["spec"]["selector"]["matchLabels"];
    let labels = &the(&objects, "Service")["metadata"]["labels"];
    assert!(
        monitor
            .as_object()
            .unwrap()
            .iter()
            .all(|(key, value)| &labels[key] == value)
    );
}

#[test]
fn export_pods_are_closed_in_where_the_chart_can_reach_them() {
    let objects = render(NAMESPACED);
    let closed: Vec<&Value> = of_kind(&objects, "NetworkPolicy")
        .into_iter()
        .filter(|policy| policy["metadata"]["name"].as_str().unwrap().ends_with("-export-pods"))
        .collect();
    assert_eq!(closed.len(), 2);
    for policy in closed {
        assert_eq!(policy["spec"]["egress"], json!([]));
        assert_eq!(policy["spec"]["policyTypes"], json!(["Ingress", "Egress"]));
        assert_eq!(
            policy["spec"]["ingress"][0]["ports"],
            json!([{"port": 8081, "protocol": "TCP"}])
        );
    }
}

#[test]
fn a_single_replica_does_not_hold_up_a_drain() {
    let budget = &the(&render(&[]), "PodDisruptionBudget")["spec"].clone();
    assert_eq!(budget["maxUnavailable"], 1);
    assert!(budget["minAvailable"].is_null());
}

#[test]
fn what_is_switched_off_is_not_there() {
    let objects = render(&[
        "rbac.create=false",
        "podDisruptionBudget.enabled=false",
        "networkPolicy.enabled=false",
        "serviceAccount.create=false",
        "serviceAccount.name=mine",
        "crds.install=false",
    ]);
    let mut kinds: Vec<&str> = objects.iter().map(|object| object["kind"].as_str().unwrap()).collect();
    kinds.sort_unstable();
    assert_eq!(kinds, ["Deployment", "Pod", "Service"]);
    assert_eq!(
        the(&objects, "Deployment")["spec"]["template"]["spec"]["serviceAccountName"],
        "mine"
    );
}
