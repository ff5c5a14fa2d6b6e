//! The programs that the guides begin with, over real sockets: what each of them is said to do.

#[path = "../../examples/acks.rs"]
#[allow(dead_code, reason = "`main` is not called")]
mod acks;
#[path = "../../examples/auth.rs"]
#[allow(dead_code, reason = "`main` is not called")]
mod auth;
#[path = "../../examples/axum.rs"]
#[allow(dead_code, reason = "`main` is not called")]
mod axum_application;
#[path = "../../examples/chat.rs"]
#[allow(dead_code, reason = "`main` is not called")]
mod chat;
#[path = "../../examples/class.rs"]
#[allow(dead_code, reason = "`main` is not called")]
mod class;
#[path = "../../examples/cluster.rs"]
#[allow(dead_code, reason = "`main` is not called")]
mod cluster;
#[path = "../../examples/first_server.rs"]
#[allow(dead_code, reason = "`main` is not called")]
mod first_server;

use serde_json::{Value, json};
use sockeye::ServerBuilder;

use crate::support::{
    Client, Http, TestServer, patient,
    server::{listen, unique},
};

async fn serve(builder: ServerBuilder) -> TestServer {
    let bus = format!("memory://{}", unique("guide"));
    TestServer::run(builder.bus(bus).build().await.unwrap()).await
}

/// The event that comes next, its name first.
async fn event(client: &mut Client) -> Value {
    let text = client.text().await;
    serde_json::from_str(text.strip_prefix("42").unwrap_or_else(|| panic!("{text:?} is no event"))).unwrap()
}

#[tokio::test]
async fn the_first_server_greets_answers_and_shouts() {
    let server = serve(first_server::server()).await;
    let mut one = Client::connect(server.addr).await;
    let id = one.id.clone();
    assert_eq!(event(&mut one).await, json!(["welcome", id]));
    let mut two = Client::connect(server.addr).await;
    assert_eq!(event(&mut two).await[0], "welcome");

    assert_eq!(one.call("hello", r#""Ada""#).await, json!(["Hello Ada!"]));
    one.send(r#"42["shout","it works"]"#).await;
    for client in [&mut one, &mut two] {
        assert_eq!(event(client).await, json!(["shouted", id, "IT WORKS"]));
    }
    server.stop().await;
}

#[tokio::test]
async fn the_chat_knows_names_and_tells_only_the_members_of_a_room() {
    let server = serve(chat::server()).await;
    let mut ada = Client::open(server.addr).await;
    ada.send(r#"40{"name":""}"#).await;
    ada.expect(r#"44{"message":"a name has 1 to 32 characters"}"#).await;
    ada.join("/", r#"{"name":"Ada"}"#).await;
    let mut bob = Client::open(server.addr).await;
    bob.join("/", r#"{"name":"Bob"}"#).await;
    let mut eve = Client::open(server.addr).await;
    eve.join("/", r#"{"name":"Eve"}"#).await;

    assert_eq!(ada.call("join", r#""lobby""#).await, json!([{"members": 1}]));
    assert_eq!(bob.call("join", r#""lobby""#).await, json!([{"members": 2}]));
    assert_eq!(event(&mut ada).await, json!(["joined", "lobby", "Bob"]));
    assert_eq!(bob.call("say", r#""lobby","hello""#).await, json!([{"reached": 1}]));
    assert_eq!(event(&mut ada).await, json!(["said", "lobby", "Bob", "hello"]));

    // Who is not in the room has no answer, and hears nothing.
    eve.send(r#"421["say","lobby","let me in"]"#).await;
    assert_eq!(eve.call("join", r#""other""#).await, json!([{"members": 1}]));
    bob.send("41").await;
    assert_eq!(event(&mut ada).await, json!(["left", "lobby", "Bob", "client namespace disconnect"]));
    server.stop().await;
}

#[tokio::test]
async fn acks_go_in_all_directions() {
    let server = serve(acks::server()).await;
    let mut one = Client::connect(server.addr).await;
    let mut two = Client::connect(server.addr).await;
    assert_eq!(one.call("add", "2,40").await, json!([42]));

    // One client asks another.
    one.send(&format!(r#"421["offer draw","{}"]"#, two.id)).await;
    let asked = two.text().await;
    let id = asked.strip_suffix(&format!(r#"["draw?","{}"]"#, one.id)).unwrap().strip_prefix("42").unwrap();
    two.send(&format!("43{id}[true]")).await;
    one.expect(r#"431["accepted"]"#).await;
    one.send(r#"422["offer draw","nobody"]"#).await;
    one.expect(r#"432["the client is not connected"]"#).await;

    // One asks all; the other goes instead of answering.
    one.send(r#"423["ask","Shall we?"]"#).await;
    let vote = one.text().await;
    let id = vote.strip_suffix(r#"["vote","Shall we?"]"#).unwrap().strip_prefix("42").unwrap();
    one.send(&format!("43{id}[true]")).await;
    assert!(two.text().await.ends_with(r#"["vote","Shall we?"]"#));
    two.send("41").await;
    one.expect(r#"433[{"yes":1,"no":0,"silent":1}]"#).await;
    server.stop().await;
}

#[tokio::test]
async fn tokens_and_cookies_decide_who_may_connect() {
    let server = serve(auth::server(auth::tokens())).await;
    let mut client = Client::open(server.addr).await;
    for auth in ["", r#"{"token":"wrong"}"#, r#"{"token":null}"#] {
        client.send(&format!("40{auth}")).await;
        client.expect(r#"44{"message":"not authorized","data":{"code":401}}"#).await;
    }
    client.join("/", r#"{"token":"token-of-bob"}"#).await;
    assert_eq!(client.call("who am I", "").await, json!(["bob"]));
    client.send(r#"40/admin,{"token":"token-of-bob"}"#).await;
    client.expect(r#"44/admin,{"message":"not an admin","data":{"code":403}}"#).await;
    client.join("/admin", r#"{"token":"token-of-ada"}"#).await;

    let mut http = Http::connect(server.addr).await;
    let target = "/socket.io/?EIO=4&transport=polling";
    let cookie = [("cookie", "theme=dark; session=token-of-ada")];
    let open = http.request("GET", target, &cookie, b"").await;
    let open: Value = serde_json::from_str(&open.text()[1..]).unwrap();
    let target = format!("{target}&sid={}", open["sid"].as_str().unwrap());
    assert_eq!(http.post(&target, "40").await.status, 200);
    let answer = http.get(&target).await;
    assert!(answer.text().starts_with(r#"40{"sid":"#), "{}", answer.text());
    server.stop().await;
}

#[tokio::test]
async fn an_axum_application_tells_those_who_watch() {
    let (server, router) = axum_application::application().await.unwrap();
    let listener = listen().await;
    let addr = listener.local_addr().unwrap();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let ending = server.clone();
    let serving = tokio::spawn(async move {
        let end = async move {
            let _ = stopped.await;
            ending.shutdown().await;
        };
        axum::serve(listener, router).with_graceful_shutdown(end).await
    });

    assert!(Http::connect(addr).await.get("/").await.text().contains("socket.emit(\"watch\", 7)"));
    let mut client = Client::connect(addr).await;
    assert_eq!(client.call("watch", "7").await, json!([]));
    let json = [("content-type", "application/json")];
    for order in ["/orders/8", "/orders/7"] {
        let answer =
            Http::connect(addr).await.request("POST", order, &json, br#"{"status":"shipped"}"#).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    assert_eq!(event(&mut client).await, json!(["order", 7, {"status": "shipped"}]));
    assert_eq!(client.call("changes", "").await, json!([2]));

    stop.send(()).unwrap();
    client.closed().await;
    patient("the end of the application", serving).await.unwrap().unwrap();
}

#[tokio::test]
async fn nodes_of_a_cluster_reach_each_others_clients() {
    let (bus, secret) = (format!("memory://{}", unique("guide")), "0123456789abcdef");
    let one = TestServer::run(cluster::server(&bus, secret).node_name("one").build().await.unwrap()).await;
    let two = TestServer::run(cluster::server(&bus, secret).node_name("two").build().await.unwrap()).await;
    patient("the nodes to see each other", async {
        while one.server.io().nodes().is_empty() || two.server.io().nodes().is_empty() {
            tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        }
    })
    .await;
    let mut here = Client::connect(one.addr).await;
    let mut there = Client::connect(two.addr).await;
    here.send(r#"421["say","hello"]"#).await;
    assert_eq!(event(&mut there).await, json!(["said", "one", "hello"]));
    assert_eq!(event(&mut here).await, json!(["said", "one", "hello"]));
    here.expect("431[2]").await;
    one.stop().await;
    two.stop().await;
}

#[tokio::test]
async fn a_class_keeps_a_game() {
    let server = serve(class::server(class::Guess::new(42))).await;
    let mut ada = Client::open(server.addr).await;
    ada.send(r#"40/guess,{"name":""}"#).await;
    ada.expect(r#"44/guess,{"message":"who are you?"}"#).await;
    ada.join("/guess", r#"{"name":"Ada"}"#).await;
    let mut bob = Client::open(server.addr).await;
    bob.join("/guess", r#"{"name":"Bob"}"#).await;
    for (number, answer) in [(50, "lower"), (41, "higher"), (42, "correct"), (42, "game over")] {
        ada.send(&format!(r#"42/guess,1["guess",{number}]"#)).await;
        ada.expect(&format!(r#"43/guess,1["{answer}"]"#)).await;
    }
    bob.expect(r#"42/guess,["won","Ada"]"#).await;
    bob.send(r#"42/guess,2["ping"]"#).await;
    bob.expect(r#"43/guess,2["pong"]"#).await;
    ada.send("41/guess,").await;
    bob.expect(r#"42/guess,["left","client namespace disconnect"]"#).await;
    server.stop().await;
}
