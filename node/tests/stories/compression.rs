//! Compressed answers of long-polling.

use std::io::Read;

use sockeye::ServerBuilder;

use crate::support::{Answer, Client, Polling, TestServer};

async fn start(configure: impl FnOnce(ServerBuilder) -> ServerBuilder) -> TestServer {
    TestServer::start(|server| configure(server.namespace("/", |ns| ns))).await
}

/// What a GET brings that says what it can read.
async fn get(client: &mut Polling, accept: Option<&str>) -> Answer {
    let target = client.target();
    let accept: Vec<_> = accept.map(|accept| ("accept-encoding", accept)).into_iter().collect();
    client.gets.request("GET", &target, &accept, b"").await
}

fn decoded(answer: &Answer) -> String {
    let mut text = String::new();
    let body = answer.body.as_slice();
    match answer.header("content-encoding") {
        Some("gzip") => flate2::read::GzDecoder::new(body).read_to_string(&mut text).unwrap(),
        Some("deflate") => flate2::read::ZlibDecoder::new(body).read_to_string(&mut text).unwrap(),
        Some(other) => panic!("nobody asked for {other}"),
        None => return answer.text().to_owned(),
    };
    text
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn long_answers_are_compressed_as_the_client_asks() {
    let node = start(|server| server).await;
    let mut client = Polling::connect(node.addr).await;
    let socket = node.server.io().socket(&client.id).unwrap();
    for (size, accept, expected) in [
        (1_024 - 8, Some("gzip"), Some("gzip")),
        (1_024 - 9, Some("gzip"), None),
        (5_000, Some("gzip, deflate, br"), Some("gzip")),
        (5_000, Some("deflate, gzip"), Some("deflate")),
        (5_000, Some("br;q=1, deflate;q=0.2, gzip;q=0.9"), Some("gzip")),
        (5_000, Some("gzip;q=0, *;q=0"), None),
        (5_000, Some("br"), None),
        (5_000, None, None),
        // More than what is compressed beside other clients' work.
        (900_000, Some("gzip"), Some("gzip")),
    ] {
        let text = "x".repeat(size - 2);
        socket.emit("a", &text);
        let answer = get(&mut client, accept).await;
        assert_eq!(answer.header("content-encoding"), expected, "{size} {accept:?}");
        let varies = (size >= 1_024 - 8).then_some("Accept-Encoding");
        assert_eq!(answer.header("vary"), varies, "{size}");
        assert_eq!(answer.header("content-type"), Some("text/plain; charset=UTF-8"));
        assert_eq!(decoded(&answer), format!(r#"42["a","{text}"]"#));
        assert!(expected.is_none() || answer.body.len() < size / 5);
    }
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_can_be_switched_off_and_set() {
    let node = start(|server| server.compression_threshold(None)).await;
    let mut client = Polling::connect(node.addr).await;
    node.server.io().emit("a", "x".repeat(10_000));
    let answer = get(&mut client, Some("gzip")).await;
    assert_eq!((answer.header("content-encoding"), answer.header("vary")), (None, None));
    node.stop().await;

    let node = start(|server| server.compression_threshold(60)).await;
    let mut client = Polling::connect(node.addr).await;
    for (size, compressed) in [(20, false), (100, true)] {
        node.server.io().emit("a", "x".repeat(size));
        let answer = get(&mut client, Some("gzip")).await;
        assert_eq!(answer.header("content-encoding").is_some(), compressed, "{size}");
    }
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_with_secrets_are_kept_out_of_it() {
    let node = start(|server| server).await;
    let mut client = Polling::connect(node.addr).await;
    let io = node.server.io();
    let secret = "x".repeat(2_000);
    let emit = |compress: bool| io.all().compress(compress).emit("a", &secret);
    let mut answers = Vec::new();
    for flags in [&[false][..], &[false, false], &[false, true], &[true, false], &[true]] {
        for compress in flags {
            emit(*compress);
        }
        let answer = get(&mut client, Some("gzip")).await;
        assert_eq!(decoded(&answer).split('\u{1e}').count(), flags.len());
        answers.push(answer.header("content-encoding").is_some());
    }
    assert_eq!(answers, [false, false, true, true, true], "one packet that may is enough");
    // The same for one client, and where it is asked for an answer.
    let socket = io.socket(&client.id).unwrap();
    socket.compress(false).emit("a", &secret);
    let alone = get(&mut client, Some("gzip")).await;
    socket.emit("a", &secret);
    let usual = get(&mut client, Some("gzip")).await;
    let asking = io.to(client.id.as_str()).compress(false).emit_with_ack("a", &secret).unwrap();
    let asked = get(&mut client, Some("gzip")).await;
    let compressed = [&alone, &usual, &asked].map(|answer| answer.header("content-encoding").is_some());
    assert_eq!(compressed, [false, true, false]);
    assert!(asked.text().starts_with("42"));
    drop(asking);
    // On a WebSocket it means nothing.
    let mut websocket = Client::connect(node.addr).await;
    emit(false);
    emit(true);
    for _ in 0..2 {
        websocket.expect(&format!(r#"42["a","{secret}"]"#)).await;
    }
    node.stop().await;
}
