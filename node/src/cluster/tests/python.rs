//! The channel of python-socketio, with messages as python-socketio 5.18 publishes them.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use serde_json::{Value, json};
use sockeye_bus::{Bus, BusConfig, Event, Outbound, Topic};
use sockeye_proto::bus::Target;
use sockeye_proto::bus::python;
use sockeye_proto::name::RoomName;
use sockeye_proto::sio::Binary;
use tokio::sync::mpsc::unbounded_channel;
use tokio::time::Instant;

use super::super::RemoteAck;
use super::{Node, args, assembled, cluster, eventually, id, root};

const HOST: &str = "6574620fcbb247488131e25578a5b288";

/// A python-socketio node, as far as its channel shows it.
struct Python {
    bus: Bus,
    heard: Arc<Mutex<Vec<Value>>>,
}

impl Python {
    async fn join(bus: &str) -> Self {
        let config =
            BusConfig { subscribe: vec![Topic::Channel], ..BusConfig::new(format!("memory://{bus}")) };
        let (bus, mut events) = Bus::open(config, Arc::new(())).unwrap();
        bus.connected(Duration::from_secs(1)).await.unwrap();
        let heard = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&heard);
        tokio::spawn(async move {
            while let Some(event) = events.recv().await {
                if let Event::Message(message) = event
                    && let Ok(message) = serde_json::from_slice::<Value>(&message.payload)
                {
                    log.lock().push(message);
                }
            }
        });
        Self { bus, heard }
    }

    fn publish(&self, message: &Value) {
        self.raw(message.to_string().as_bytes());
    }

    fn raw(&self, payload: &[u8]) {
        self.bus.publish_detached(Outbound::new(Topic::Channel, payload.to_vec()));
    }

    /// What others published, by method.
    fn heard(&self, method: &str) -> Vec<Value> {
        let heard = self.heard.lock();
        heard.iter().filter(|m| m["method"] == method && m["host_id"] != HOST).cloned().collect()
    }

    /// All callbacks, which carry the id of who is to run them.
    fn callbacks(&self) -> Vec<Value> {
        self.heard.lock().iter().filter(|m| m["method"] == "callback").cloned().collect()
    }
}

fn emit(event: &str, data: &Value, room: &Value, callback: &Value) -> Value {
    json!({
        "method": "emit", "event": event, "data": data, "binary": false, "namespace": "/", "room": room,
        "skip_sid": null, "callback": callback, "host_id": HOST,
    })
}

fn operation(method: &str, sid: &str, room: &str) -> Value {
    json!({"method": method, "sid": sid, "room": room, "namespace": "/", "host_id": HOST})
}

async fn bridged(bus: &str) -> [Node; 2] {
    let nodes = [1, 2].map(|number| Node::with(bus, number, |config| config.bridge_python = true));
    assembled(&nodes.each_ref()).await;
    nodes
}

#[tokio::test(start_paused = true)]
async fn a_write_only_emitter_reaches_every_node_without_the_bridge() {
    let [a, b] = cluster("python-emitter").await;
    let python = Python::join("python-emitter").await;
    let here = a.local.socket(1, &["r"]);
    let there = b.local.socket(2, &["s"]);
    python.publish(&emit("ev", &json!(["a", 2]), &json!(null), &json!(null)));
    python.publish(&emit("room", &json!({"k": 1}), &json!(["r", "s"]), &json!(null)));
    python.publish(&emit("called", &json!("x"), &json!("r"), &json!(["r", "/", 1])));
    let all = ["ev [\"a\",2]", "room [{\"k\":1}]", "called [\"x\"]"];
    eventually("both have it", || a.local.got(&here).len() == 3 && b.local.got(&there).len() == 2).await;
    let compact = |got: Vec<String>| {
        got.iter().map(|line| line.replace(", ", ",").replace(": ", ":")).collect::<Vec<_>>()
    };
    assert_eq!(compact(a.local.got(&here)), all);
    assert_eq!(compact(b.local.got(&there)), all[..2]);
    assert_eq!(a.local.owed(), 0, "without the bridge nobody is asked");
    assert_eq!(a.metric("sockeye_bus_received_total", &["emit", "foreign"]), 3);
}

#[tokio::test(start_paused = true)]
async fn operations_of_python_programs_apply_to_the_socket_they_name() {
    let [a, b] = cluster("python-rooms").await;
    let python = Python::join("python-rooms").await;
    let here = a.local.socket(1, &[]);
    let there = b.local.socket(2, &["r"]);
    python.publish(&operation("enter_room", here.as_str(), "r"));
    python.publish(&operation("enter_room", here.as_str(), "s"));
    python.publish(&operation("leave_room", there.as_str(), "r"));
    eventually("applied", || a.local.rooms(&here) == ["r", "s"] && b.local.rooms(&there).is_empty()).await;
    python.publish(&json!({"method": "close_room", "room": "r", "namespace": "/", "host_id": HOST}));
    eventually("closed", || a.local.rooms(&here) == ["s"]).await;
    python
        .publish(&json!({"method": "disconnect", "sid": there.as_str(), "namespace": "/", "host_id": HOST}));
    eventually("disconnected", || !b.local.is_connected(&there)).await;
    assert!(a.local.is_connected(&here));
}

#[tokio::test(start_paused = true)]
async fn without_the_bridge_nothing_is_said_on_the_channel() {
    let [a, b] = cluster("python-quiet").await;
    let python = Python::join("python-quiet").await;
    let sid = b.local.socket(1, &[]);
    a.emit("ev", (), &Target::everyone());
    a.cluster.close_room(&root(), &RoomName::from("r"));
    eventually("it arrived", || b.local.got(&sid).len() == 1).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(python.heard.lock().is_empty());
}

#[tokio::test(start_paused = true)]
async fn with_the_bridge_python_nodes_hear_what_this_node_does_and_sockeye_nodes_do_not_hear_it_twice() {
    let [a, b] = bridged("python-bridge").await;
    let python = Python::join("python-bridge").await;
    let sid = b.local.socket(1, &[]);
    let foreign = "WnFi2iwm9o-ZDwUWAAAB";
    a.emit("ev", ("x", 1), &Target::everyone());
    a.emit("room", "x", &Target::room("r").except(sid.as_str()));
    a.emit("bin", Binary(vec![1, 2].into()), &Target::room("r"));
    a.cluster.join(&root(), &Target::room(foreign), &[RoomName::from("r")]);
    a.cluster.leave_rooms(&root(), &Target::room(foreign), &[RoomName::from("r")]);
    a.cluster.close_room(&root(), &RoomName::from("r"));
    a.cluster.disconnect(&root(), &Target::room(foreign), true);
    eventually("it arrived", || python.heard("disconnect").len() == 1).await;
    let host = python::host_id(id(1));
    let emits = python.heard("emit");
    assert_eq!(
        emits[0],
        json!({
            "method": "emit", "event": "ev", "data": ["x", 1], "binary": false, "namespace": "/", "room": null,
            "skip_sid": null, "callback": null, "host_id": host,
        })
    );
    assert_eq!((&emits[1]["data"], &emits[1]["room"]), (&json!("x"), &json!("r")));
    assert!(emits[1]["skip_sid"] == json!(sid.as_str()) || emits[1]["skip_sid"] == json!([sid.as_str()]));
    assert_eq!(emits[2]["binary"], json!(true));
    let op = |method: &str| python.heard(method)[0].clone();
    assert_eq!(op("enter_room")["sid"], json!(foreign));
    assert_eq!(op("leave_room")["room"], json!("r"));
    assert_eq!(op("close_room")["room"], json!("r"));
    assert_eq!(op("disconnect")["sid"], json!(foreign));
    assert_eq!(b.local.got(&sid).len(), 1, "once, not twice");
    assert_eq!(b.metric("sockeye_bus_received_total", &["foreign"]), 0);
}

#[tokio::test(start_paused = true)]
async fn with_the_bridge_local_sockets_answer_a_python_node() {
    let [a, b] = bridged("python-asks").await;
    let python = Python::join("python-asks").await;
    let sid = b.local.socket(1, &["r"]);
    b.local.answers(&sid, args(("a", 2)));
    let binary = a.local.socket(2, &["bin"]);
    a.local.answers(&binary, args(Binary(vec![1].into())));
    python.publish(&emit("q", &json!("x"), &json!("r"), &json!(["r", "/", 7])));
    eventually("the answer is there", || python.callbacks().len() == 1).await;
    assert_eq!(
        python.callbacks()[0],
        json!({"method": "callback", "host_id": HOST, "sid": "r", "namespace": "/", "id": 7, "args": ["a", 2]})
    );
    python.publish(&emit("q", &json!("x"), &json!("bin"), &json!(["bin", "/", 8])));
    eventually("it is counted", || a.metric("sockeye_bus_dropped_total", &["python_binary_ack"]) == 1).await;
    assert_eq!(python.callbacks().len(), 1);
}

fn reply(to: &Value, args: &Value) -> Value {
    json!({
        "method": "callback", "host_id": to["host_id"], "sid": to["callback"][0], "namespace": to["callback"][1],
        "id": to["callback"][2], "args": args,
    })
}

#[tokio::test(start_paused = true)]
async fn with_the_bridge_a_socket_of_a_python_node_answers() {
    let [a, b] = bridged("python-answers").await;
    let python = Python::join("python-answers").await;
    let foreign = "WnFi2iwm9o-ZDwUWAAAB";
    let (sink, mut acks) = unbounded_channel();
    let ttl = Duration::from_secs(60);
    a.cluster.emit_with_ack(&root(), "q", &args("x"), &Target::room(foreign), ttl, sink);
    eventually("python is asked", || python.heard("emit").len() == 1).await;
    let asked = python.heard("emit")[0].clone();
    assert_eq!((&asked["callback"][0], &asked["callback"][1]), (&json!(foreign), &json!("/")));
    assert!(asked["callback"][2].as_u64().is_some_and(|id| (1..1 << 53).contains(&id)));
    python.publish(&reply(&asked, &json!(["yes", [1]])));
    assert!(matches!(acks.recv().await, Some(RemoteAck::Expect { node: Some(_), recipients: 0 })));
    assert!(matches!(acks.recv().await, Some(RemoteAck::Expect { node: None, recipients: 1 })));
    let Some(RemoteAck::Answer { node: None, sid, args }) = acks.recv().await else { panic!("an answer") };
    assert_eq!(
        (sid.as_str(), args.parse::<(String, Vec<u8>)>().unwrap()),
        (foreign, ("yes".to_owned(), vec![1]))
    );
    assert!(matches!(acks.recv().await, Some(RemoteAck::Asked)));
    assert!(matches!(acks.recv().await, Some(RemoteAck::Complete)), "a single socket answers once");
    assert!(b.local.owed() == 0);
}

#[tokio::test(start_paused = true)]
async fn with_the_bridge_an_unknown_socket_is_waited_for_until_the_deadline() {
    let [a, b] = bridged("python-unknown").await;
    let python = Python::join("python-unknown").await;
    let ttl = Duration::from_secs(5);
    let native = b.local.socket(1, &[]);
    b.local.answers(&native, args(()));
    // How long it takes, and how many sockets are said to have been asked.
    let ends = async |target: &str| {
        let (sink, mut acks) = unbounded_channel();
        let started = Instant::now();
        a.cluster.emit_with_ack(&root(), "q", &args(()), &Target::room(target), ttl, sink);
        let mut asked = 0;
        while let Some(ack) = acks.recv().await {
            match ack {
                RemoteAck::Expect { recipients, .. } => asked += recipients,
                RemoteAck::Complete => break,
                _ => {}
            }
        }
        (started.elapsed(), asked)
    };
    let (took, asked) = ends("WnFi2iwm9o-ZDwUWAAAB").await;
    assert!(took >= ttl && asked == 1, "nobody can say that it is not connected");
    let (took, asked) = ends(native.as_str()).await;
    assert!(took < Duration::from_millis(100) && asked == 1, "known on a native node");
    let (took, asked) = ends("room").await;
    assert!(took >= ttl && asked == 0, "python nodes do not say how many they asked");
    drop(python);
    for target in ["WnFi2iwm9o-ZDwUWAAAB", "room"] {
        eventually("the channel is known to be empty", || a.metric("sockeye_acks_pending", &[]) == 0).await;
        let (took, asked) = ends(target).await;
        assert!(took < Duration::from_millis(100) && asked == 0, "{target}: no python node listens");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_no_message_is_counted_by_kind_and_skipped() {
    let [a] = cluster("python-garbage").await;
    let python = Python::join("python-garbage").await;
    let sid = a.local.socket(1, &[]);
    let pickle = b"\x80\x04\x95\x10\x00\x00\x00\x00\x00\x00\x00}\x94\x8c\x06method\x94s.";
    python.raw(pickle);
    python.raw(pickle);
    python.raw(b"5");
    python.raw(b"\"method\"");
    python.raw(b"{\"method\":\"emit\",\"event\":7,\"data\":1,\"namespace\":\"/\"}");
    python.raw(b"{\"method\":");
    python.raw(&vec![b' '; 10_000_000]);
    python.publish(&emit("ev", &json!(1), &json!(null), &json!(null)));
    eventually("the good one arrived", || a.local.got(&sid).len() == 1).await;
    assert_eq!(a.metric("sockeye_bus_decode_errors_total", &["pickle"]), 2);
    assert_eq!(a.metric("sockeye_bus_decode_errors_total", &[]), 7);
}
