//! What comes before handlers: middlewares that let clients in, and middlewares that events pass.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::json;
use sockeye::{
    AckSender, Args, Auth, ConnectRefused, Data, DisconnectReason, EventName, EventRefused, IntoArgs, Server,
    Socket, State,
};
use tokio::sync::Semaphore;

use crate::support::{Client, Log, TestServer, log};

#[derive(Deserialize)]
struct Stop {
    #[serde(default)]
    at: String,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn middlewares_decide_in_order_before_the_connect_handler() {
    let (log, mut lines) = log();
    let node = TestServer::start(|server| {
        server.state(log).namespace("/free", |ns| ns).namespace("/", |ns| {
            ns.use_connect(async |socket: Socket, Auth(stop): Auth<Stop>, State(log): State<Log>| {
                log.note("first");
                socket.join("from the first");
                match stop.at.as_str() {
                    "first" => Err(ConnectRefused::new("no").data(&json!({"code": 401}))),
                    "panic" => panic!("the first middleware was told to"),
                    _ => {
                        socket.save_session(stop.at.len());
                        Ok(())
                    }
                }
            })
            .on_connect(async |State(log): State<Log>, Auth(stop): Auth<Stop>| {
                log.note("handler");
                stop.at != "handler"
            })
            .use_connect(async |socket: Socket, Auth(stop): Auth<Stop>, State(log): State<Log>| {
                // Something that takes a while, a database for example.
                for _ in 0..5 {
                    tokio::task::yield_now().await;
                }
                log.note(format!("second, session {}", socket.session::<usize>().unwrap()));
                if stop.at == "second" { Err("second says no") } else { Ok(()) }
            })
            .on_disconnect(async |State(log): State<Log>, reason: DisconnectReason| log.note(reason))
            .on("rooms", async |socket: Socket| socket.rooms().len())
        })
    })
    .await;
    let mut client = Client::open(node.addr).await;
    client.send(r#"40{"at":"first"}"#).await;
    client.expect(r#"44{"message":"no","data":{"code":401}}"#).await;
    lines.expect("first").await;
    client.send(r#"40{"at":"second"}"#).await;
    client.expect(r#"44{"message":"second says no"}"#).await;
    lines.expect("first").await;
    lines.expect("second, session 6").await;
    client.send(r#"40{"at":"handler"}"#).await;
    client.expect(r#"44{"message":"Connection rejected by server"}"#).await;
    lines.expect("first").await;
    lines.expect("second, session 7").await;
    lines.expect("handler").await;
    client.send(r#"40{"at":"panic"}"#).await;
    client.expect(r#"44{"message":"Internal server error"}"#).await;
    lines.expect("first").await;
    assert_eq!(node.metric("sockeye_handler_panics_total"), 1.0);
    // An auth object that does not fit is refused before the middleware is called.
    client.send(r#"40{"at":7}"#).await;
    client.expect(r#"44{"message":"Connection rejected by server"}"#).await;
    assert_eq!(node.metric(r#"sockeye_handler_errors_total{kind="extract"}"#), 1.0);
    lines.is_empty();

    // The connection goes on after refusals, as after those of a connect handler.
    client.join("/free", "").await;
    client.join("/", "").await;
    for line in ["first", "second, session 0", "handler"] {
        lines.expect(line).await;
    }
    assert_eq!(client.call("rooms", "").await, json!([2]));
    assert_eq!(node.metric(r#"sockeye_namespace_connects_total{result="refused"}"#), 5.0);
    assert_eq!(node.server.io().to("from the first").count().await.value, 1, "of the refused none is left");
    client.vanish();
    lines.expect("transport close").await;
    node.stop().await;
}

/// Middlewares that refuse, replace, panic, and ask for what is not there.
async fn guarded() -> (TestServer, crate::support::Lines) {
    let (log, lines) = log();
    let errors = log.clone();
    let node = TestServer::start(|server| {
        server
            .state(log)
            .namespace("/open", |ns| ns.on("shout", async |Data(text): Data<String>| text))
            .namespace("/", |ns| {
                ns.use_event(async |EventName(event): EventName, args: Args, State(log): State<Log>| {
                    log.note(format!("1 {event} {}", args.json()));
                    tokio::task::yield_now().await;
                    match &*event {
                        "forbidden" => Err(EventRefused::new("forbidden").ack(("error", 403))),
                        "dropped" => Err(EventRefused::from("dropped")),
                        "unsendable" => Err(EventRefused::new("unsendable").ack(&Unsendable)),
                        "panic" => panic!("the middleware was told to"),
                        _ => Ok(()),
                    }
                })
                .use_event(
                    async |EventName(event): EventName, args: Args| -> Result<Option<Args>, EventRefused> {
                        if &*event != "shout" {
                            return Ok(None);
                        }
                        let text: String =
                            args.first().map_err(|error| EventRefused::new(error.to_string()))?;
                        let louder = (text.to_uppercase(), "more").into_args();
                        Ok(Some(louder.map_err(|error| EventRefused::new(error.to_string()))?))
                    },
                )
                .use_event(async |EventName(event): EventName, args: Args, State(log): State<Log>| {
                    log.note(format!("3 {event} {}", args.json()));
                    &*event != "late"
                })
                .use_event(async |socket: Socket, EventName(event): EventName| {
                    // An `Option` would be `None`; a plain extractor refuses the event.
                    let _ = (socket, event);
                })
                .on("shout", async |args: Args| args)
                .on("late", async || "never".to_owned())
                .on("panic", async || "never".to_owned())
                .on("forbidden", async || "never".to_owned())
                .on("sync", async || ())
                .on_error(move |socket, error| {
                    errors.note(format!(
                        "{} {:?} {} {}",
                        error.kind().as_str(),
                        error.event(),
                        error.message(),
                        socket.is_connected()
                    ));
                })
            })
    })
    .await;
    (node, lines)
}

struct Unsendable;

impl IntoArgs for &Unsendable {
    fn into_args(self) -> Result<Args, sockeye::ArgsError> {
        std::collections::HashMap::from([(vec![1], 2)]).into_args()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_pass_middlewares_in_order_and_may_be_changed_or_refused() {
    let (node, mut lines) = guarded().await;
    let mut client = Client::connect(node.addr).await;
    assert_eq!(client.call("shout", r#""hey""#).await, json!(["HEY", "more"]));
    lines.expect(r#"1 shout ["hey"]"#).await;
    lines.expect(r#"3 shout ["HEY","more"]"#).await;

    // Refused: with an answer if the middleware has one, else the client hears nothing.
    assert_eq!(client.call("forbidden", "1").await, json!(["error", 403]));
    lines.expect("1 forbidden [1]").await;
    lines.expect(r#"refused Some("forbidden") forbidden true"#).await;
    client.send(r#"427["dropped"]"#).await;
    lines.expect("1 dropped []").await;
    lines.expect(r#"refused Some("dropped") dropped true"#).await;
    client.send(r#"427["late"]"#).await;
    lines.expect("1 late []").await;
    lines.expect("3 late []").await;
    lines.expect(r#"refused Some("late") a middleware did not let it pass true"#).await;
    client.send(r#"42["shout",5]"#).await;
    lines.expect("1 shout [5]").await;
    assert!(lines.next().await.starts_with(r#"refused Some("shout") "#), "what does not fit is refused");
    client.send(r#"427["unsendable"]"#).await;
    lines.expect("1 unsendable []").await;
    lines.expect(r#"refused Some("unsendable") unsendable true"#).await;
    assert!(lines.next().await.starts_with("reply "));
    client.send(r#"427["panic"]"#).await;
    lines.expect("1 panic []").await;
    node.metric_is("sockeye_handler_panics_total", 1.0).await;
    assert_eq!(node.metric(r#"sockeye_handler_errors_total{kind="refused"}"#), 5.0);

    // Events that nobody handles pass them, too, and are then counted as always.
    client.send(r#"427["unknown",{"a":1}]"#).await;
    lines.expect(r#"1 unknown [{"a":1}]"#).await;
    lines.expect(r#"3 unknown [{"a":1}]"#).await;
    node.metric_is("sockeye_unhandled_events_total", 1.0).await;

    // Nothing of it was answered, and another namespace knows none of these middlewares.
    client.sync().await;
    client.join("/open", "").await;
    client.send(r#"42/open,1["shout","hey"]"#).await;
    client.expect(r#"43/open,1["hey"]"#).await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_middleware_without_its_arguments_drops_the_event() {
    let (log, mut lines) = log();
    let node = TestServer::start(|server| {
        server.state(log.clone()).namespace("/", |ns| {
            ns.use_event(async |Data(n): Data<u32>| n > 0)
                .on_error(move |_, error| log.note(format!("{} {:?}", error.kind().as_str(), error.event())))
                .on("n", async |Data(n): Data<u32>| n)
        })
    })
    .await;
    let mut client = Client::connect(node.addr).await;
    client.send(r#"421["n","text"]"#).await;
    lines.expect(r#"refused Some("n")"#).await;
    client.send(r#"422["n",0]"#).await;
    lines.expect(r#"refused Some("n")"#).await;
    assert_eq!(client.call("n", "3").await, json!([3]));
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_event_overtakes_another_in_a_middleware_when_one_runs_at_a_time() {
    let (log, mut lines) = log();
    let gate = Arc::new(Semaphore::new(0));
    let node = TestServer::start(|server| {
        server.state(log).state(gate.clone()).namespace("/", |ns| {
            ns.concurrency(1)
                .use_event(
                    async |EventName(event): EventName,
                           State(gate): State<Arc<Semaphore>>,
                           State(log): State<Log>| {
                        log.note(format!("passing {event}"));
                        if &*event == "slow" {
                            gate.acquire().await.unwrap().forget();
                        }
                    },
                )
                .fallback(async |EventName(event): EventName, State(log): State<Log>| {
                    log.note(event.to_string())
                })
        })
    })
    .await;
    let mut client = Client::connect(node.addr).await;
    client.send(r#"42["slow"]"#).await;
    client.send(r#"42["fast"]"#).await;
    lines.expect("passing slow").await;
    node.metric_is(r#"sockeye_packets_received_total{type="event"}"#, 2.0).await;
    lines.is_empty();
    gate.add_permits(1);
    for line in ["slow", "passing fast", "fast"] {
        lines.expect(line).await;
    }
    node.stop().await;
}

#[tokio::test]
async fn a_middleware_cannot_answer_in_the_handlers_place() {
    let built = Server::builder()
        .namespace("/", |ns| {
            ns.use_event(async |ack: AckSender| drop(ack)).use_connect(async |Data(n): Data<u8>| n == 1)
        })
        .build()
        .await;
    let problems = built.unwrap_err().problems;
    assert_eq!(problems.len(), 2, "{problems:?}");
    assert!(
        problems[0].starts_with("namespace /: use_event: `AckSender` is not there for middlewares"),
        "{problems:?}"
    );
    assert_eq!(problems[1], "namespace /: use_connect: `Data` is only there for event handlers");
}
