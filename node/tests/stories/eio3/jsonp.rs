//! Clients that load scripts and submit forms.

use super::start;
use crate::support::{Http, old_polling::OldPolling};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_are_scripts_and_posts_are_forms() {
    let (node, mut lines) = start().await;
    let mut client = OldPolling::open(node.addr, "&j=0").await;
    let answer = client.get().await;
    assert_eq!(answer.text(), r#"___eio[0]("2:40");"#);
    assert_eq!(answer.header("content-type"), Some("text/javascript; charset=UTF-8"));
    assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
    // As a client of Socket.IO 2 sent it.
    let target = client.target();
    let form = [("content-type", "application/x-www-form-urlencoded")];
    let body = b"d=25%3A42%5B%22echo%22%2C%22a%5C%5Cnb%22%2C%22plain%22%5D";
    let answer = client.posts.request("POST", &target, &form, body).await;
    assert_eq!((answer.status, answer.text()), (200, "ok"));
    assert_eq!(client.get().await.text(), r#"___eio[0]("25:42[\"echo\",\"a\\nb\",\"plain\"]");"#);
    // Binary is base64, whatever the query says; lines end with the string.
    client.post_ok("d=16:42[\"echo\",\"é😀\"]").await;
    client.expect("42[\"echo\",\"é😀\"]").await;
    node.server.io().emit("n", ("\u{2028}</script>\n", sockeye::Binary(vec![1].into())));
    let answer = client.get().await;
    assert!(!answer.text().contains(['\u{2028}', '<', '\n']), "{}", answer.text());
    assert!(answer.text().starts_with("___eio[0](\"") && answer.text().ends_with("6:b4AQ==\");"));
    let target = client.target();
    client.gets.begin("GET", &target, &[], b"").await;
    client.post_ok("d=1%3A1").await;
    assert_eq!(client.gets.answer().await.text(), r#"___eio[0]("1:6");"#);
    lines.expect("transport close").await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_function_is_a_number_and_that_of_the_first_request() {
    let (node, _) = start().await;
    let mut http = Http::connect(node.addr).await;
    for evil in ["", "x", "0](alert(1));//", "%30", "-1", "1e3", "1234567890", "0%22", "__proto__"] {
        let answer = http.get(&format!("/socket.io/?EIO=3&transport=polling&j={evil}")).await;
        assert_eq!((answer.status, answer.text()), (400, r#"{"code":3,"message":"Bad request"}"#), "{evil}");
        assert_eq!(answer.header("content-type"), Some("application/json"));
    }
    let mut client = OldPolling::open(node.addr, "&j=007").await;
    let answer = client.gets.get(&format!("{}&j=evil", client.target().replace("&j=007", ""))).await;
    assert_eq!(answer.text(), r#"___eio[7]("2:40");"#);
    // To version 4 it means nothing.
    let answer = http.get("/socket.io/?EIO=4&transport=polling&j=evil").await;
    assert!(answer.text().starts_with("0{"));
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_form_ends_the_session() {
    let (node, mut lines) = start().await;
    for body in ["1:2", "e=1%3A2", "d=garbage", "d=%ff", "d="] {
        let mut client = OldPolling::open(node.addr, "&j=0").await;
        client.expect("40").await;
        client.post_ok(body).await;
        lines.expect("parse error").await;
        client.is_gone().await;
    }
    node.stop().await;
}
