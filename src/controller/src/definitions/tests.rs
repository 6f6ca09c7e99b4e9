#![allow(clippy::unwrap_used, clippy::expect_used)]

use hyper::{Request, Response};
use kube::client::Body;
use kube_runtime::{
    reflector::{self, store::Writer},
    watcher,
};
use serde_json::{Value, json};
use tower_test::mock::{self, Handle};

use super::*;

type Server = Handle<Request<Body>, Response<Body>>;

fn definition(version: u32, text: &str) -> Value {
    json!({
        "apiVersion": "exportjob.dev/v1alpha1", "kind": "SegmentDefinition",
        "metadata": {"name": "a", "namespace": "n", "uid": "u", "generation": 1, "resourceVersion": version.to_string()},
        "spec": {"expression": {"type": "PQL", "format": "pql/text", "value": text}},
    })
}

fn keeper() -> (Keeper, Writer<SegmentDefinition>, Server) {
    let (service, server) = mock::pair();
    let (definitions, writer) = reflector::store();
    let keeper = Keeper {
        client: Client::new(service, "n"),
        definitions,
        export_jobs: reflector::store().0,
        namespaces: HashMap::new(),
    };
    (keeper, writer, server)
}

fn show(writer: &mut Writer<SegmentDefinition>, object: Value) {
    writer.apply_watcher_event(&watcher::Event::Apply(serde_json::from_value(object).unwrap()));
}

/// Answers one patch; what was sent comes back.
async fn answer(server: &mut Server, name: &str, code: u16, version: u32) -> Value {
    let (request, reply) = server.next_request().await.expect("a write");
    assert_eq!(request.method(), "PATCH");
    assert!(
        request
            .uri()
            .path()
            .ends_with(&format!("/namespaces/n/segmentdefinitions/{name}/status")),
        "{}",
        request.uri()
    );
    let sent: Value = serde_json::from_slice(
        &http_body_util::BodyExt::collect(request.into_body())
            .await
            .unwrap()
            .to_bytes(),
    )
    .unwrap();
    let mut object = definition(version, "x = 1");
    if code != 200 {
        object = json!({"apiVersion": "v1", "kind": "Status", "status": "Failure", "code": code, "reason": if code == 409 { "Conflict" } else { "Invalid" }, "message": "no"});
    }
    let answer = Response::builder()
        .status(code)
        .body(Body::from(serde_json::to_vec(&object).unwrap()));
    reply.send_response(answer.unwrap());
    sent
}

#[tokio::test]
async fn a_status_is_written_once_even_before_the_cache_shows_it() {
    let (mut keeper, mut writer, mut server) = keeper();
    show(&mut writer, definition(1, "x = 1"));
    let (done, sent) = tokio::join!(keeper.check("n", 1000), answer(&mut server, "a", 200, 2));
    done.unwrap();
    assert_eq!(sent["metadata"]["resourceVersion"], "1");
    assert_eq!(sent["status"]["conditions"][0]["status"], "True");
    // The cache is behind: nothing is written, or the missing server would be asked.
    drop(server);
    keeper.check("n", 2000).await.unwrap();
    // The cache shows it.
    let mut shown = definition(2, "x = 1");
    shown["status"] = sent["status"].clone();
    show(&mut writer, shown);
    keeper.check("n", 3000).await.unwrap();
    // It is gone.
    writer.apply_watcher_event(&watcher::Event::Delete(
        serde_json::from_value(definition(2, "x = 1")).unwrap(),
    ));
    keeper.check("n", 4000).await.unwrap();
    assert!(keeper.namespaces.is_empty());
}

#[tokio::test]
async fn a_definition_that_has_changed_meanwhile_is_left_to_the_next_look() {
    let (mut keeper, mut writer, mut server) = keeper();
    show(&mut writer, definition(1, "x ="));
    let (done, sent) = tokio::join!(keeper.check("n", 1000), answer(&mut server, "a", 409, 0));
    done.unwrap();
    assert_eq!(sent["status"]["conditions"][0]["reason"], "PQL_SYNTAX");
    show(&mut writer, definition(2, "x = 1"));
    let (done, sent) = tokio::join!(keeper.check("n", 1000), answer(&mut server, "a", 200, 3));
    done.unwrap();
    assert_eq!(sent["metadata"]["resourceVersion"], "2");
}

#[tokio::test]
async fn a_status_that_is_not_taken_holds_up_no_other() {
    let (mut keeper, mut writer, mut server) = keeper();
    let mut other = definition(1, "y = 1");
    other["metadata"]["name"] = json!("b");
    other["metadata"]["uid"] = json!("v");
    show(&mut writer, definition(1, "x = 1"));
    show(&mut writer, other);
    let answers = async {
        answer(&mut server, "a", 422, 0).await;
        answer(&mut server, "b", 200, 2).await
    };
    let (done, sent) = tokio::join!(keeper.check("n", 1000), answers);
    assert!(done.is_err(), "it is tried again");
    assert_eq!(sent["status"]["conditions"][0]["reason"], "Valid");
}
