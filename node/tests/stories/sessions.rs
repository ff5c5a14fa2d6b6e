//! What an application keeps for one socket.

use std::{collections::BTreeMap, sync::Arc};

use serde_json::json;
use sockeye::{Data, DisconnectReason, Socket, Spread, State};
use tokio::sync::Semaphore;

use crate::support::{Client, Log, TestServer, log, until};

#[derive(Clone, Debug, Default)]
struct Cart(BTreeMap<String, u64>);

/// What must not outlive its socket.
#[derive(Clone)]
struct Precious(#[allow(dead_code, reason = "only its references are counted")] Arc<()>);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_of_many_handlers_at_once_are_all_kept() {
    let node = TestServer::start(|server| {
        server.namespace("/", |ns| {
            ns.on("add", async |socket: Socket, Spread((what, n)): Spread<(String, u64)>| {
                tokio::task::yield_now().await;
                socket.update_session(|cart: &mut Cart| *cart.0.entry(what).or_default() += n);
            })
            .on("cart", async |socket: Socket| Data(socket.session::<Cart>().map(|cart| cart.0.clone())))
            .on("empty", async |socket: Socket| {
                socket.remove_session::<Cart>().map(|cart| cart.0.len() as u64)
            })
            .on("replace", async |socket: Socket| {
                let before = socket.save_session(Cart::default());
                before.map(|cart| cart.0.len() as u64)
            })
        })
    })
    .await;
    let mut client = Client::connect(node.addr).await;
    let mut other = Client::connect(node.addr).await;
    assert_eq!(client.call("cart", "").await, json!([null]));
    for n in 0..200 {
        client.send(&format!(r#"42["add","{}",{n}]"#, ["pens", "ink"][n % 2])).await;
    }
    assert_eq!(other.call("empty", "").await, json!([null]), "each socket has its own");
    let socket = node.server.io().socket(&client.id).unwrap();
    until("all to be added", || {
        socket.session::<Cart>().is_some_and(|cart| cart.0.values().sum::<u64>() == 19_900)
    })
    .await;
    assert_eq!(client.call("cart", "").await, json!([{"ink": 10_000, "pens": 9_900}]));
    // From outside of handlers, by the socket's id, as well.
    let visited = socket.update_session(|cart: &mut Cart| {
        cart.0.insert("paper".into(), 1);
        cart.0.len()
    });
    assert_eq!(visited, 3);
    assert_eq!(client.call("replace", "").await, json!([3]));
    assert_eq!(client.call("empty", "").await, json!([0]));
    assert_eq!(client.call("empty", "").await, json!([null]));
    // Asking for a value while changing it is a mistake that is found, not a server that hangs.
    let nested = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        socket.update_session(|_: &mut Cart| socket.session::<Cart>().is_some())
    }));
    assert!(nested.is_err());
    client.send("41").await;
    node.metric_is(r#"sockeye_sockets{nsp="/"}"#, 1.0).await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_is_gone_after_the_disconnect_handler() {
    let (log, mut lines) = log();
    let gate = Arc::new(Semaphore::new(0));
    let precious = Arc::new(());
    let node = TestServer::start(|server| {
        let save = async |socket: Socket, State(precious): State<Precious>| {
            socket.save_session(precious);
        };
        let refuse = async |socket: Socket, State(precious): State<Precious>| {
            socket.save_session(precious);
            Err::<(), _>("no")
        };
        server
            .state(log)
            .state(Precious(precious.clone()))
            .state(gate.clone())
            .namespace("/refused", |ns| ns.on_connect(refuse))
            .namespace("/quiet", |ns| ns.on_connect(save))
            .namespace("/", |ns| {
                ns.on_connect(save).on_disconnect(
                    async |socket: Socket,
                           State(log): State<Log>,
                           State(gate): State<Arc<Semaphore>>,
                           _: DisconnectReason| {
                        log.note(format!("deciding, {}", socket.session::<Precious>().is_some()));
                        gate.acquire().await.unwrap().forget();
                        log.note(format!("over, {}", socket.session::<Precious>().is_some()));
                        assert_eq!(socket.id().as_str().len(), 20, "and then it panics");
                        panic!("at the end");
                    },
                )
            })
    })
    .await;
    let references = || Arc::strong_count(&precious);
    let none = references();
    let mut client = Client::open(node.addr).await;
    client.send("40/refused,").await;
    client.expect(r#"44/refused,{"message":"no"}"#).await;
    assert_eq!(references(), none);
    client.join("/quiet", "").await;
    let quiet = node.server.io().of("/quiet").unwrap().socket(&client.id).unwrap();
    client.join("/", "").await;
    // The application keeps its handles; their sessions end with the sockets.
    let socket = node.server.io().socket(&client.id).unwrap();
    assert_eq!(references(), none + 2);
    client.send("41/quiet,").await;
    until("the quiet session to end", || references() == none + 1).await;
    client.send("41").await;
    lines.expect("deciding, true").await;
    assert!(socket.session::<Precious>().is_some());
    gate.add_permits(1);
    lines.expect("over, true").await;
    until("the session to end", || references() == none).await;
    assert!(socket.session::<Precious>().is_none());
    // Who comes late leaves nothing behind.
    for gone in [&socket, &quiet] {
        gone.save_session(Precious(precious.clone()));
        gone.update_session(|late: &mut u32| *late += 1);
        assert!(gone.session::<Precious>().is_none() && gone.session::<u32>().is_none());
    }
    assert_eq!(references(), none);
    assert_eq!(node.metric("sockeye_handler_panics_total"), 1.0);
    node.stop().await;
}
