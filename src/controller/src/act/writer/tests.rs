#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use hyper::{Method, Response};
use kube::client::Body;
use serde_json::Value;
use tower_test::mock::{Handle, pair};

use super::*;
use crate::job::UID_LABEL;

type Server = Handle<hyper::Request<Body>, Response<Body>>;

const PATH: &str = "/apis/batch/v1/namespaces/n/jobs";

/// What the API server is asked for, and what it answers.
type Step = (Method, &'static str, u16, Value);

/// Answers these requests, and no other.
async fn serve(mut server: Server, steps: Vec<Step>) {
    for (method, path, code, body) in steps {
        let (request, send) = server.next_request().await.expect("a request");
        assert_eq!((request.method(), request.uri().path()), (&method, path));
        let response = Response::builder().status(code);
        send.send_response(response.body(Body::from(body.to_string().into_bytes())).unwrap());
    }
}

async fn with_server<T>(steps: Vec<Step>, work: impl AsyncFnOnce(Writer<'_>) -> T) -> T {
    let (service, server) = pair();
    let client = Client::new(service, "n");
    let server = tokio::spawn(serve(server, steps));
    let export_job = serde_json::from_value(json!({
        "apiVersion": "exportjob.dev/v1alpha1", "kind": "ExportJob",
        "metadata": {"name": "loyal", "namespace": "n", "uid": "ours", "resourceVersion": "1"},
        "spec": {"destination": {"datasetId": "d"}, "schema": {"name": "s"}},
    }));
    let expectations = Expectations::default();
    let done = work(Writer::new(&client, &expectations, &export_job.unwrap())).await;
    server.await.expect("all requests come");
    done
}

fn status(code: u16, reason: &str, message: &str) -> Value {
    json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason, "message": message})
}

fn job(owner: Option<&str>, label: &str) -> Value {
    let owners =
        owner.map(|uid| json!([{"apiVersion": "v1", "kind": "K", "name": "o", "uid": uid, "controller": true}]));
    json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {
        "name": "job", "namespace": "n", "uid": "job", "resourceVersion": "5",
        "labels": {UID_LABEL: label}, "ownerReferences": owners,
    }})
}

async fn create(steps: Vec<Step>) -> Result<Written, ActError> {
    with_server(steps, async |writer| {
        let job = serde_json::from_value(job(Some("ours"), "ours")).unwrap();
        writer.create_job(&job).await
    })
    .await
}

fn refusal(done: Result<Written, ActError>) -> (u16, String) {
    match done {
        Err(ActError::Refused(refusal)) => (refusal.code, refusal.message),
        other => panic!("not refused: {other:?}"),
    }
}

fn exists() -> Step {
    (Method::POST, PATH, 409, status(409, "AlreadyExists", "it is there"))
}

fn quota() -> Step {
    (Method::POST, PATH, 403, status(403, "Forbidden", "exceeded quota"))
}

fn found(job: Value) -> Step {
    (Method::GET, "/apis/batch/v1/namespaces/n/jobs/job", 200, job)
}

fn not_found() -> Step {
    let path = "/apis/batch/v1/namespaces/n/jobs/job";
    (Method::GET, path, 404, status(404, "NotFound", "it is not there"))
}

#[tokio::test]
async fn a_job_that_was_made_before_is_taken_for_made() {
    for ours in [job(Some("ours"), "ours"), job(None, "ours")] {
        assert_eq!(create(vec![exists(), found(ours)]).await.unwrap(), Written::Done);
    }
}

#[tokio::test]
async fn a_job_of_somebody_else_is_in_the_way() {
    for other in [job(Some("other"), "ours"), job(None, "other")] {
        let (code, message) = refusal(create(vec![exists(), found(other)]).await);
        assert_eq!(code, 409);
        assert!(message.contains("delete it, and the job goes on"), "{message}");
    }
}

#[tokio::test]
async fn what_a_quota_refuses_may_be_there_already() {
    let there = create(vec![quota(), found(job(Some("ours"), "ours"))]).await;
    assert_eq!(there.unwrap(), Written::Done);
    for step in [not_found(), found(job(Some("other"), "other"))] {
        assert_eq!(
            refusal(create(vec![quota(), step]).await),
            (403, "exceeded quota".to_owned())
        );
    }
}

#[tokio::test]
async fn only_a_job_of_its_own_keeps_an_export_job_from_ending() {
    for (step, expected) in [
        (found(job(Some("ours"), "ours")), Written::Stale),
        (found(job(None, "ours")), Written::Stale),
        (found(job(Some("other"), "other")), Written::Done),
        (not_found(), Written::Done),
    ] {
        let done = with_server(vec![step], async |writer| writer.confirm_no_job("job").await).await;
        assert_eq!(done.unwrap(), expected);
    }
}
