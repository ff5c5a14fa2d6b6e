//! What a builder refuses, before any client comes.

use std::time::Duration;

use sockeye::{Data, DisconnectReason, Server, State};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_builder_tells_all_its_problems_at_once() {
    let error = Server::builder()
        .path("socket.io")
        .secret("short")
        .channel("")
        .transports([])
        .concurrency(0)
        .ping_timeout(Duration::ZERO)
        .max_payload(0)
        .namespace("/", |ns| {
            ns.on("twice", async || ())
                .on("twice", async || ())
                .on("disconnect", async || ())
                .on("state", async |_: State<Missing>| ())
                .on("reason", async |_: DisconnectReason| ())
                .on_connect(async |_: Data<String>| ())
                .on_connect(async || ())
                .on_disconnect(async |_: sockeye::AckSender| ())
                .on_disconnect(async || ())
                .fallback(async || ())
                .fallback(async || ())
        })
        .namespace("", |ns| ns)
        .build()
        .await
        .unwrap_err();
    for (expected, times) in [
        ("path \"socket.io\" must begin and end with a slash", 1),
        ("a secret of 5 bytes can be guessed", 1),
        ("channel must not be empty", 1),
        ("transports: there is none", 1),
        ("concurrency and mailbox must be at least 1", 1),
        ("ping_timeout of 0ns is too short", 1),
        ("max_payload must be at least 1 byte", 1),
        ("namespace /: on(\"twice\"): there is a handler already", 1),
        ("namespace /: on(\"disconnect\"): the name is reserved", 1),
        ("namespace /: on(\"state\"): it wants State<", 1),
        ("Missing>, but the builder was given none", 1),
        ("namespace /: on(\"reason\"): `DisconnectReason` is only there for disconnect handlers", 1),
        ("namespace /: on_connect: `Data` is only there for event handlers", 1),
        ("namespace /: on_connect: there is a handler already", 1),
        ("namespace /: on_disconnect: `AckSender` is only there for event handlers", 1),
        ("namespace /: on_disconnect: there is a handler already", 1),
        ("namespace /: fallback: there is a handler already", 1),
        ("namespace / was added twice", 1),
    ] {
        let found = error.problems.iter().filter(|problem| problem.contains(expected)).count();
        assert_eq!(found, times, "{expected} in {error}");
    }
    let text = error.to_string();
    assert!(error.problems.iter().all(|problem| text.contains(&format!("\n  - {problem}"))), "{text}");
    assert_eq!(error.problems.len(), 17, "{error}");
}

#[derive(Clone)]
struct Missing;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_builder_refuses_a_bus_that_it_does_not_know() {
    let error = Server::builder().bus("carrier-pigeon://loft").build().await.unwrap_err();
    assert!(error.problems[0].starts_with("bus: "), "{error}");
    assert!(error.to_string().contains("carrier-pigeon"), "{error}");
    let error =
        Server::builder().bus("redis://:verysecret@").build().await.err().map(|error| error.to_string());
    assert!(!error.unwrap_or_default().contains("verysecret"), "no secret in an error");
}
