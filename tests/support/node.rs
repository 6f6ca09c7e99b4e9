//! Signals to the process of a container, sent from its node: by a pod that sees the node's processes.

use k8s_openapi::api::core::v1::{Namespace, Pod};
use kube::{
    Api, Client, ResourceExt as _,
    api::{Patch, PatchParams},
};
use serde_json::json;

use crate::{operator, wait};

/// Namespace of the pods that send signals. Pod security lets them be what they are here.
const NAMESPACE: &str = "e2e-node";

/// Sends a signal (`STOP`, `CONT`, `KILL`) to the exporter in a running pod.
pub async fn signal(client: &Client, pod: &Pod, signal: &str) {
    let node = pod
        .spec
        .as_ref()
        .and_then(|spec| spec.node_name.clone())
        .expect("a running pod has a node");
    let hammer = hammer_on(client, &node).await;
    let uid = pod.uid().expect("a pod has a UID");
    // The kubelet names control groups after the pod, with either of two marks between the parts of the UID.
    let script = format!(
        "for p in /proc/[0-9]*; do \
           grep -q -e {uid} -e {} $p/cgroup 2>/dev/null && grep -q ^exportjob-expo $p/comm 2>/dev/null && kill -{signal} ${{p#/proc/}} && found=1; \
         done; [ -n \"$found\" ]",
        uid.replace('-', "_")
    );
    operator::kubectl(
        &["--namespace", NAMESPACE, "exec", &hammer, "--", "sh", "-c", &script],
        b"",
    );
}

async fn hammer_on(client: &Client, node: &str) -> String {
    let apply = PatchParams::apply("e2e").force();
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {
        "name": NAMESPACE, "labels": {"pod-security.kubernetes.io/enforce": "privileged"},
    }});
    let namespaces: Api<Namespace> = Api::all(client.clone());
    namespaces
        .patch(NAMESPACE, &apply, &Patch::Apply(&namespace))
        .await
        .expect("the namespace can be made");
    let name = format!("hammer-{node}");
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name},
        "spec": {
            "nodeName": node, "hostPID": true, "automountServiceAccountToken": false, "terminationGracePeriodSeconds": 0,
            "tolerations": [{"operator": "Exists"}],
            "containers": [{
                "name": "toolbox", "image": operator::toolbox_image(), "imagePullPolicy": "IfNotPresent",
                "command": ["sleep", "1000000"], "securityContext": {"runAsUser": 0, "runAsGroup": 0},
            }],
        },
    });
    let pods: Api<Pod> = Api::namespaced(client.clone(), NAMESPACE);
    pods.patch(&name, &apply, &Patch::Apply(&pod))
        .await
        .expect("the pod can be made");
    wait::until_it(pods, &name, "running", |pod| {
        pod.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Running")
    })
    .await;
    name
}
